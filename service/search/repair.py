"""Valid points out of such that were changed without looking."""

from random import Random

from service.config.errors import ConfigurationError
from service.config.merging import Tree
from service.config.run import RunConfig
from service.config.sweep import SweepConfig
from service.search.configurations import Configurations
from service.search.constraints import Constraint
from service.search.feasibility import Feasibility
from service.search.space import Space
from service.search.trials import Point

_DRAWS = 10_000


class Repair:
    """Leaves a point that may be a trial as it is, and draws another in the place of others.

    Args:
        sweep: The sweep; it was checked.
        schema: Class of the configuration that the recipe is for.
        tree: The recipe as a nested mapping, without the section `sweep`.
        seed: Seed of the draws.
    """

    def __init__(self, sweep: SweepConfig, schema: type[RunConfig], tree: Tree, seed: int) -> None:
        configurations = Configurations(schema, tree)
        constraints = tuple(Constraint.parse(text) for text in sweep.constraints)
        self._feasibility = Feasibility(configurations, constraints)
        self._space = Space(sweep.space, configurations)
        self._random = Random(seed)  # noqa: S311  # no secret

    def __call__(self, point: Point) -> Point:
        """Returns the point, or one drawn from the space if it may not be a trial.

        Raises:
            ConfigurationError: No draw may be a trial either.
        """
        for _ in range(_DRAWS):
            if self._feasibility.refusal(point) is None:
                return point
            point = self._space.draw(self._random)
        raise ConfigurationError(f"sweep.space: none of {_DRAWS} draws is a valid configuration")
