"""One searched field: the values it may have, and draws of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from service.config.sweep import (
    ChoiceConfig,
    Distribution,
    IntegerConfig,
    IntervalConfig,
    LogUniformConfig,
    Value,
)

# A place inside an interval that is no round number, so that fields of whole numbers refuse it.
_INSIDE = math.sqrt(2) - 1
_DIGITS = 12


@dataclass(frozen=True)
class Dimension:
    """A searched field."""

    path: str
    """Its dotted path."""
    distribution: Distribution
    """What it is drawn from, and when."""

    @cached_property
    def values(self) -> Sequence[Value] | None:
        """All its values in order; None if it has any value between two ends."""
        match self.distribution:
            case ChoiceConfig(values=values):
                return values
            case IntegerConfig(low=first, high=last):
                return range(first, last + 1)
            case IntervalConfig() as interval:
                return _spaced(interval)

    def draw(self, random: Random) -> Value:
        """Returns a value drawn from the distribution."""
        match self.distribution:
            case IntervalConfig(points=None) as interval:
                return _between(interval, random.random())
            case _:
                return random.choice(self.values or ())

    def contains(self, value: Value) -> bool:
        """Returns whether the field may have the value; true and 1 are not the same."""
        if isinstance(self.distribution, ChoiceConfig):
            return any(same(value, own) for own in self.distribution.values)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.values is not None:
            return value in self.values
        return self.distribution.low <= value <= self.distribution.high

    @cached_property
    def probes(self) -> tuple[Value, ...]:
        """Values that show whether the schema takes the distribution: all, or ends and inside."""
        match self.distribution:
            case IntegerConfig(low=first, high=last):
                return (first, last)
            case IntervalConfig(points=None, low=low, high=high) as interval:
                return (low, high, float(f"{_between(interval, _INSIDE):.6g}"))
            case _:
                return tuple(self.values or ())


def same(one: object, other: object) -> bool:
    """Returns whether two values are the same for a configuration: 1 is 1.0, but not true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _spaced(interval: IntervalConfig) -> tuple[float, ...] | None:
    if interval.points is None:
        return None
    last = interval.points - 1
    inner = (_between(interval, step / last) for step in range(1, last))
    return (interval.low, *(float(f"{value:.{_DIGITS}g}") for value in inner), interval.high)


def _between(interval: IntervalConfig, share: float) -> float:
    low, high = interval.low, interval.high
    if isinstance(interval, LogUniformConfig):
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    # Rounding may lead a hair outside.
    return min(max(value, low), high)
