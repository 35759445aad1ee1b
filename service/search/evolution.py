"""One generation of population based training (Jaderberg et al. 2017, arXiv 1711.09846).

The worst trials take over the state of the best ones (truncation selection, section 4.1.1) and
change what they took: each value is drawn anew or perturbed (section 4.1.1, explore).
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from random import Random

from service.config.sweep import (
    ChoiceConfig,
    Distribution,
    IntegerConfig,
    IntervalConfig,
    PopulationConfig,
    Value,
)
from service.search.dimension import Dimension
from service.search.trials import Mode, Point


def takeovers(
    scores: Mapping[int, float], mode: Mode, quantile: float, random: Random
) -> dict[int, int]:
    """Returns which trial takes over which one's state.

    Args:
        scores: The metric of each trial, by number.
        mode: Whether a larger or a smaller metric is better.
        quantile: Share of the trials that is replaced, rounded up, at most a half.
        random: Chooses among the best.
    """
    sign = 1 if mode == "max" else -1
    worst_first = sorted(scores, key=lambda number: (sign * scores[number], -number))
    count = min(ceil(len(worst_first) * quantile), len(worst_first) // 2)
    best = worst_first[len(worst_first) - count :]
    return {number: random.choice(best) for number in worst_first[:count]}


def explored(
    point: Point,
    space: Mapping[str, Distribution],
    config: PopulationConfig,
    random: Random,
    repair: Callable[[Point], Point],
) -> Point:
    """Returns the values with which a trial goes on from another one's state.

    Args:
        point: The other trial's values.
        space: What each of them is drawn from.
        config: How they change.
        random: Source of the draws.
        repair: Makes a valid point of one that is not.
    """
    dimensions = {path: Dimension(path, space[path]) for path in point}
    changed = {
        path: dimension.draw(random)
        if random.random() < config.resample
        else _perturbed(point[path], dimension, random.choice(config.factors), random)
        for path, dimension in dimensions.items()
    }
    return repair(changed)


def _perturbed(value: Value, dimension: Dimension, factor: float, random: Random) -> Value:
    distribution = dimension.distribution
    match distribution:
        case ChoiceConfig() | IntervalConfig(points=int()):
            return _neighbour(value, dimension.values or (), random)
    if not isinstance(value, int | float):
        raise TypeError(f"a number is perturbed, not {value!r}")
    bounded = min(max(value * factor, distribution.low), distribution.high)
    return round(bounded) if isinstance(distribution, IntegerConfig) else bounded


def _neighbour(value: Value, values: Sequence[Value], random: Random) -> Value:
    position = values.index(value) + random.choice((-1, 1))
    return values[min(max(position, 0), len(values) - 1)]
