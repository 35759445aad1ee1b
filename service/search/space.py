"""The space of a sweep: which points there are, and draws of them."""

from collections.abc import Iterator, Mapping
from random import Random
from types import MappingProxyType
from typing import TypeAlias

from service.config.errors import ConfigurationError
from service.config.sweep import Distribution, Value
from service.search.configurations import Configurations
from service.search.dimension import Dimension, same
from service.search.trials import Point

Identity: TypeAlias = frozenset[tuple[str, bool, Value]]
"""What tells a point from others."""

_NOTHING: Mapping[str, Value] = MappingProxyType({})


class Space:
    """The searched fields and when each of them has a value.

    Args:
        space: What each dotted path is drawn from.
        configurations: The recipe, for conditions on fields that are not searched.

    Raises:
        ConfigurationError: Conditions depend on each other in a circle.
    """

    def __init__(self, space: Mapping[str, Distribution], configurations: Configurations) -> None:
        self._configurations = configurations
        self._places = _conditions_first(space)
        self.dimensions = tuple(self._places.values())
        """The searched fields; one that a condition names comes before the one that has it."""

    def __getitem__(self, path: str) -> Dimension:
        return self._places[path]

    def __contains__(self, path: object) -> bool:
        return path in self._places

    @property
    def finite(self) -> bool:
        """Whether each field has a number of values that can be counted."""
        return not self.uncountable

    @property
    def uncountable(self) -> list[str]:
        """A line for each field that no grid can have."""
        return [
            f"sweep.space: {dimension.path}: a grid needs a number of values between low and "
            "high; give points"
            for dimension in self.dimensions
            if dimension.values is None
        ]

    def active(self, dimension: Dimension, point: Point) -> bool:
        """Returns whether a field has a value beside those of the fields before it."""
        return all(
            self._holds(field, values, point)
            for field, values in dimension.distribution.when.items()
        )

    def grid(self) -> Iterator[Point]:
        """Yields every point once, the last field changing fastest.

        Raises:
            ConfigurationError: A field may have any value between two ends.
        """
        if not self.finite:
            raise ConfigurationError("\n".join(self.uncountable))
        return self._combinations({}, 0)

    def draw(self, random: Random, given: Mapping[str, Value] = _NOTHING) -> Point:
        """Returns a point drawn from the distributions.

        Args:
            random: Source of the draws.
            given: Values that are taken instead of drawn, where their fields have one.
        """
        point: Point = {}
        for dimension in self.dimensions:
            if self.active(dimension, point):
                path = dimension.path
                point[path] = given[path] if path in given else dimension.draw(random)
        return point

    def _combinations(self, point: Point, position: int) -> Iterator[Point]:
        if position == len(self.dimensions):
            yield point
            return
        dimension = self.dimensions[position]
        if not self.active(dimension, point):
            yield from self._combinations(point, position + 1)
            return
        for value in dimension.values or ():
            yield from self._combinations({**point, dimension.path: value}, position + 1)

    def _holds(self, field: str, values: tuple[Value, ...], point: Point) -> bool:
        if field in point:
            return any(same(point[field], value) for value in values)
        if field in self:
            return False
        try:
            found = self._configurations.value(point, field)
        except KeyError:
            return False
        return any(same(found, value) for value in values)


def identity(point: Point) -> Identity:
    """Returns what two points have in common if and only if they mean the same trial."""
    return frozenset((path, isinstance(value, bool), value) for path, value in point.items())


def kinds_above(path: str) -> set[str]:
    """Returns the paths of the kinds of the sections that a field stands in."""
    names = path.split(".")
    return {".".join([*names[:end], "kind"]) for end in range(1, len(names))}


def _conditions_first(space: Mapping[str, Distribution]) -> dict[str, Dimension]:
    waiting = [Dimension(path, distribution) for path, distribution in space.items()]
    needs = {dimension.path: _needs(dimension, space) for dimension in waiting}
    placed: dict[str, Dimension] = {}
    while waiting:
        ready = next((d for d in waiting if needs[d.path] <= placed.keys()), None)
        if ready is None:
            paths = " and ".join(d.path for d in waiting)
            raise ConfigurationError(
                f"sweep.space: {paths}: the conditions form a circle; remove a 'when'"
            )
        waiting.remove(ready)
        placed[ready.path] = ready
    return placed


def _needs(dimension: Dimension, space: Mapping[str, Distribution]) -> set[str]:
    """Returns the searched fields that decide whether the field has a value.

    What a field that is not searched holds depends on the kinds of the sections it stands in.
    """
    needs: set[str] = set()
    for field in dimension.distribution.when:
        needs |= {field} if field in space else kinds_above(field) & space.keys()
    return needs - (set() if dimension.path in dimension.distribution.when else {dimension.path})
