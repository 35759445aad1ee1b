"""Where a searched value stands on an axis."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from service.config.sweep import (
    ChoiceConfig,
    Distribution,
    IntervalConfig,
    LogUniformConfig,
    Value,
)
from service.search.report.wording import labels, readable
from service.search.trials import Trial


@dataclass(frozen=True)
class Scale:
    """An axis for the values of one searched field.

    Coordinates are numbers: the value itself, its decimal logarithm, or the place of a category.
    """

    kind: Literal["linear", "log", "category"]
    """How values are placed."""
    low: float
    """Coordinate of the lower end."""
    high: float
    """Coordinate of the upper end, above `low`."""
    categories: tuple[Value, ...] = ()
    """The categories in order."""
    marks: tuple[float, ...] = ()
    """Coordinates that deserve a tick: the values of a choice or a grid; empty for all between."""
    whole: bool = False
    """Whether only whole numbers occur."""

    def coordinate(self, value: Value) -> float | None:
        """Returns where a value stands; None for one that the axis does not have."""
        if self.kind == "category":
            return next((float(i) for i, c in enumerate(self.categories) if _same(c, value)), None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if self.kind == "linear":
            return float(value)
        return math.log10(value) if value > 0 else None

    def share(self, value: Value) -> float | None:
        """Returns the place of a value between the ends: 0 at the lower, 1 at the upper."""
        place = self.coordinate(value)
        return None if place is None else (place - self.low) / (self.high - self.low)

    def text(self, coordinate: float) -> str:
        """Returns what to write at a coordinate of a numeric axis."""
        value = 10**coordinate if self.kind == "log" else coordinate
        return readable(float(value))

    def ticks(self, most: int = 6, width: int = 14) -> list[tuple[float, str]]:
        """Returns coordinates and labels of ticks that do not crowd each other.

        Args:
            most: Ticks of a numeric axis, about; a list of categories is kept up to four times
                as many.
            width: Characters of a category's label.
        """
        if self.kind == "category":
            named = labels([readable(category) for category in self.categories], width)
            step = math.ceil(len(named) / (4 * most))
            return [(float(i), named[i]) for i in range(0, len(named), step)]
        if self.marks and len(self.marks) <= most + 2:
            return [(mark, self.text(mark)) for mark in self.marks]
        found = self._decades(most) if self.kind == "log" else self._even(self.low, self.high, most)
        return [(place, self.text(place)) for place in found]

    def _even(self, low: float, high: float, most: int) -> list[float]:
        from matplotlib.ticker import MaxNLocator

        locator = MaxNLocator(most, integer=self.whole, steps=[1, 2, 2.5, 5, 10])
        room = 1e-9 * (high - low)
        inside = [
            float(t) for t in locator.tick_values(low, high) if low - room <= t <= high + room
        ]
        return [0.0 if abs(t) < room else t for t in inside]

    def _decades(self, most: int) -> list[float]:
        for digits in ((1,), (1, 3), (1, 2, 5)):
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            found = [power + math.log10(digit) for power in powers for digit in digits]
            inside = [place for place in found if self.low - 1e-9 <= place <= self.high + 1e-9]
            if len(inside) >= 3:
                return inside[:: math.ceil(len(inside) / most)]
        even = self._even(10**self.low, 10**self.high, most)
        return [math.log10(value) for value in even if value > 0]


def scale_of(path: str, distribution: Distribution, trials: Iterable[Trial]) -> Scale:
    """Returns the axis of a searched field: all that it is drawn from, and all that occurred.

    Numbers to choose from stand on an axis of numbers, other choices on one of categories.
    """
    points = [point for t in trials for point in (t.point, *(c.point for c in t.changes))]
    seen = [point[path] for point in points if path in point]
    if not isinstance(distribution, ChoiceConfig):
        numbers = [distribution.low, distribution.high, *_numbers(seen)]
        log = isinstance(distribution, LogUniformConfig)
        marks = _grid(distribution) if isinstance(distribution, IntervalConfig) else []
        return _numeric(numbers, log, marks, distribution.kind == "integer")
    if len(_numbers(distribution.values)) == len(distribution.values):
        numbers = _numbers([*distribution.values, *seen])
        log = _more_even_as_logarithms(numbers)
        marks = sorted({math.log10(n) if log else n for n in numbers})
        return _numeric(numbers, log, marks, False)
    return _categorical([*distribution.values, *seen])


def number_scale(values: Sequence[float], log: bool = False) -> Scale:
    """Returns an axis from the least to the greatest of some numbers; positive for a logarithm."""
    return _numeric(values, log, (), False)


def _numeric(numbers: Sequence[float], log: bool, marks: Sequence[float], whole: bool) -> Scale:
    places = [math.log10(n) for n in numbers if n > 0] if log else list(numbers)
    low, high = min(places), max(places)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room = 0.05 * abs(low) or 0.5
        low, high = low - room, high + room
    return Scale("log" if log else "linear", low, high, marks=tuple(marks), whole=whole)


def _categorical(values: Iterable[Value]) -> Scale:
    found: list[Value] = []
    for value in values:
        if not any(_same(value, known) for known in found):
            found.append(value)
    # A half more on each side: a lone category stands in the middle.
    return Scale("category", -0.5, len(found) - 0.5, categories=tuple(found))


def _grid(interval: IntervalConfig) -> list[float]:
    if interval.points is None:
        return []
    log = isinstance(interval, LogUniformConfig)
    low, high = (math.log10(end) if log else end for end in (interval.low, interval.high))
    return [low + (high - low) * i / (interval.points - 1) for i in range(interval.points)]


def _more_even_as_logarithms(numbers: Sequence[float]) -> bool:
    """Returns whether the narrowest gap is a greater share of the range in logarithms: 1, 2, 4."""
    distinct = sorted(set(numbers))
    if len(distinct) < 3 or distinct[0] <= 0:
        return False

    def narrowest(places: Sequence[float]) -> float:
        return min(b - a for a, b in pairwise(places)) / (places[-1] - places[0])

    return narrowest([math.log10(n) for n in distinct]) > narrowest(distinct) + 1e-9


def _numbers(values: Iterable[Value]) -> list[float]:
    return [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]


def _same(one: Value, other: Value) -> bool:
    # In Python True equals 1; in YAML they are two values.
    return isinstance(one, bool) == isinstance(other, bool) and one == other
