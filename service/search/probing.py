"""Trying out a space: values that are never allowed, conditions and constraints that never hold."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from random import Random

from service.config.sweep import Value
from service.search.dimension import Dimension
from service.search.feasibility import Feasibility
from service.search.space import Space
from service.search.trials import Point

_TRIES = 200
_DRAWS = 2000
_EXPLAINED = 20
_LONELY = "goes with no value of the other fields"


class Probe:
    """Looks for combinations of a space that the configuration allows.

    The draws have a seed of their own: what is found is the same each time.

    Args:
        space: The space.
        feasibility: What a trial must fulfil.
    """

    def __init__(self, space: Space, feasibility: Feasibility) -> None:
        self._space = space
        self._feasibility = feasibility
        self._random = Random(0)  # noqa: S311  # no secret
        self._recipe = feasibility.configurations.problems({})

    def problems(self) -> list[str]:
        """Returns a line for each condition that never holds and each value that never works.

        A value that no other goes with may follow from another field's: such a line stands alone,
        and only where there is none of the others.
        """
        found = [line for d in self._space.dimensions for line in self._first_problem(d)]
        return [line for line in found if _LONELY not in line] or found[:1]

    def nothing_left(self) -> str | None:
        """Returns why no point of the space can be a trial, or None if one can.

        Raises:
            ConfigurationError: A constraint compares what has no order.
        """
        broken: Counter[str] = Counter()
        refused: list[Point] = []
        count = 0
        for point in self._sample():
            config = self._feasibility.configurations.built(point)
            if config is None:
                refused.append(point)
                continue
            unfulfilled = self._feasibility.broken(config)
            if not unfulfilled:
                return None
            count += 1
            broken.update(constraint.text for constraint in unfulfilled)
        if count == 0:
            return f"sweep.space: no combination of its values is allowed: {self._usual(refused)}"
        text, times = broken.most_common(1)[0]
        if times == count:
            return (
                f"sweep.constraints: {text!r} holds for no point of the space; change one of both"
            )
        return (
            f"sweep.constraints: no point of the space fulfils all; {text!r} holds for the fewest, "
            f"{count - times} of {count}"
        )

    def _first_problem(self, dimension: Dimension) -> list[str]:
        lines = (self._problem(dimension.path, value) for value in dimension.probes)
        return list(islice(filter(None, lines), 1))

    def _problem(self, path: str, value: Value) -> str | None:
        """Returns what is wrong with a value of a field, or None if some combination has it."""
        refused: list[Point] = []
        for attempt in range(_TRIES):
            point = self._around(path, value, corner=attempt % 2 == 1)
            if path in point:
                if self._feasibility.configurations.built(point) is not None:
                    return None
                refused.append(point)
        if not refused:
            names = " and ".join(self._space[path].distribution.when)
            return f"sweep.space: {path}: when: the condition on {names} never holds"
        return self._worded(path, value, self._usual(refused, path))

    def _around(self, path: str, value: Value, *, corner: bool) -> Point:
        """Returns a point that has a value, if its conditions can hold.

        Args:
            path: Field with the value.
            value: The value.
            corner: Take the other fields' ends, which only meet there, instead of draws.
        """
        given: dict[str, Value] = {}
        if corner:
            given = {d.path: self._random.choice(d.probes) for d in self._space.dimensions}
        given[path] = value
        waiting, met = [path], {path}
        while waiting:
            for field, values in self._space[waiting.pop()].distribution.when.items():
                if field in self._space and field not in met:
                    given[field] = self._random.choice(values)
                    waiting.append(field)
                    met.add(field)
        return self._space.draw(self._random, given)

    def _sample(self) -> Iterator[Point]:
        if self._space.finite:
            points = list(islice(self._space.grid(), _DRAWS + 1))
            if len(points) <= _DRAWS:
                yield from points
                return
        yield from (self._space.draw(self._random) for _ in range(_DRAWS))

    def _worded(self, path: str, value: Value, line: str) -> str:
        if line in self._recipe:
            return line
        if _is_about(path, line):
            return f"sweep.space: {line}"
        other = line.partition(":")[0]
        depends = other in self._space and ": exists only with " in line
        hint = f"; give {other} a 'when'" if depends else ""
        return f"sweep.space: {path}: {value!r} {_LONELY}: {line}{hint}"

    def _usual(self, points: list[Point], path: str = "") -> str:
        """Returns the most frequent problem of points.

        Those that differ only in what was given are one; of equally frequent ones the first that
        is about the field counts.
        """
        explained = [self._feasibility.configurations.problems(p) for p in points[:_EXPLAINED]]
        lines = list(chain.from_iterable(explained))
        counts = Counter(_without_given(line) for line in lines)
        return max(lines, key=lambda line: (counts[_without_given(line)], _is_about(path, line)))


def _is_about(path: str, line: str) -> bool:
    return line.startswith(f"{path}:")


def _without_given(line: str) -> str:
    return line.partition(" (got ")[0]
