"""Which points may become trials."""

from dataclasses import dataclass
from functools import partial

from service.config.errors import ConfigurationError
from service.config.run import RunConfig
from service.search.configurations import Configurations, value_of
from service.search.constraints import Constraint
from service.search.trials import Point


@dataclass(frozen=True)
class Feasibility:
    """Tells points that may become trials from others."""

    configurations: Configurations
    """The recipe."""
    constraints: tuple[Constraint, ...] = ()
    """What every trial fulfils."""

    def refusal(self, point: Point) -> str | None:
        """Returns why a point cannot be a trial, or None if it can."""
        try:
            broken = self.broken(self.configurations.configure(point))
        except ConfigurationError as error:
            return str(error)
        return f"sweep.constraints: {broken[0].text!r} does not hold" if broken else None

    def broken(self, config: RunConfig) -> list[Constraint]:
        """Returns the constraints that a configuration, as it is built, does not fulfil.

        They see what the recipe sets, what the point changes and what is filled in.

        Raises:
            ConfigurationError: A constraint compares what has no order.
        """
        found = partial(value_of, config)
        return [constraint for constraint in self.constraints if not constraint.holds(found)]
