"""Two ways to do the same, timed in alternation."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

Prepared = Callable[[], object]
"""What is timed."""
Preparation = Callable[[], Prepared]
"""Makes ready, outside the clock, and returns what is timed."""


@dataclass(frozen=True)
class PairedTimes:
    """Seconds of ours and of the peer, round by round."""

    ours: tuple[float, ...]
    """One for each round."""
    peer: tuple[float, ...]
    """One for each round."""

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times faster ours was, in each round."""
        return tuple(peer / ours for ours, peer in zip(self.ours, self.peer, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return median(self.ratios)


def alternate(ours: Preparation, peer: Preparation, *, rounds: int, warm_up: int) -> PairedTimes:
    """Times both in each round, in changing order, so that a drifting machine favours neither.

    Args:
        ours: Our way.
        peer: The other.
        rounds: Rounds that count.
        warm_up: Rounds before them that do not.
    """
    times: list[tuple[float, float]] = []
    for number in range(warm_up + rounds):
        if number % 2:
            second, first = _seconds(peer), _seconds(ours)
        else:
            first, second = _seconds(ours), _seconds(peer)
        times.append((first, second))
    counted = times[warm_up:]
    return PairedTimes(tuple(a for a, _ in counted), tuple(b for _, b in counted))


def _seconds(preparation: Preparation) -> float:
    prepared = preparation()
    start = time.perf_counter()
    prepared()
    return time.perf_counter() - start
