"""Which paths a sweep may name, and what is wrong with the others."""

from collections.abc import Iterator
from difflib import SequenceMatcher

from service.config.fields import describe
from service.config.sweep import ChoiceConfig, SweepConfig
from service.search.configurations import Configurations
from service.search.constraints import Constraint
from service.search.trials import Point

# Fields that belong to the sweep or to the place it runs at, and that change no result.
_OUTSIDE = {
    "name": "names the run and is given to each trial",
    "storage": "is where the sweep lives",
    "tracking": "is the same for all trials",
    "cluster": "is the same for all trials",
    "expected": "changes nothing of a trial",
    "checkpoint.metric": "follows sweep.metric",
    "checkpoint.mode": "follows sweep.mode",
}


def path_problems(
    sweep: SweepConfig, constraints: tuple[Constraint, ...], configurations: Configurations
) -> Iterator[str]:
    """Yields a line for each path of a sweep that cannot stand where it stands.

    Args:
        sweep: The sweep.
        constraints: Its constraints.
        configurations: The recipe.
    """
    fields = _Fields(configurations, [{}, *_kinds(sweep)])
    for path, distribution in sweep.space.items():
        problem = fields.problem(path, "search") or _outside(path)
        if problem is not None:
            yield f"sweep.space: {problem}"
        for field in distribution.when:
            problem = fields.problem(field, "name")
            if problem is not None:
                yield f"sweep.space: {path}: when: {problem}"
    for constraint in constraints:
        for path in constraint.paths:
            problem = fields.problem(path, "compare")
            if problem is not None:
                yield f"sweep.constraints: {problem}"


def _kinds(sweep: SweepConfig) -> Iterator[Point]:
    """Yields each kind that is searched: a field may exist with it, and not in the recipe."""
    for path, distribution in sweep.space.items():
        if path.rsplit(".", 1)[-1] == "kind" and isinstance(distribution, ChoiceConfig):
            yield from ({path: value} for value in distribution.values)


def _outside(path: str) -> str | None:
    for name, reason in _OUTSIDE.items():
        if f"{path}.".startswith(f"{name}."):
            return f"{path}: must not be searched: it {reason}"
    return None


class _Fields:
    """The fields of a configuration, whatever its kinds.

    Args:
        configurations: The recipe.
        variants: Points with other kinds, whose fields may be meant too.
    """

    def __init__(self, configurations: Configurations, variants: list[Point]) -> None:
        self._configurations = configurations
        self._variants = variants
        self._known = [field.path for field in describe(configurations.schema())]

    def problem(self, path: str, verb: str) -> str | None:
        """Returns what is wrong with a path that is not a field with a value, or None."""
        if path in self._known:
            return None
        below = [field for field in self._known if field.startswith(f"{path}.")]
        if below:
            return f"{path}: is a section; {verb} its fields, for example {below[0]}"
        explained = (self._explained(path, variant) for variant in self._variants)
        return max(explained, key=lambda line: _nearness(path, line))

    def _explained(self, path: str, variant: Point) -> str:
        before = self._configurations.problems(variant)
        after = self._configurations.problems({**variant, path: None})
        return next((line for line in after if line not in before), after[0])


def _nearness(path: str, line: str) -> float:
    """Returns how near to a path the nearest suggestion of an explanation is, from 0 to 1."""
    suggestions = line.partition("did you mean ")[2].rstrip("?").split(" or ")
    return max(SequenceMatcher(None, path, name).ratio() for name in suggestions)
