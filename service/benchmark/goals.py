"""What a measurement is held against: a bound on a ratio to the peer, or on our own value."""

from dataclasses import dataclass
from statistics import median
from typing import Literal

Kind = Literal["times as fast", "share", "at most"]


@dataclass(frozen=True)
class Goal:
    """A bound, and how the figure that it bounds comes from the rounds."""

    kind: Kind
    """How the figure is made."""
    bound: float
    """The least of "times as fast", the most of the others."""

    def figures(self, ours: tuple[float, ...], peers: tuple[float, ...]) -> tuple[float, ...]:
        """Returns the bounded figure of each round.

        Args:
            ours: Our values, one for each round.
            peers: The peer's; not looked at by "at most".
        """
        if self.kind == "at most":
            return ours
        pairs = zip(ours, peers, strict=True)
        if self.kind == "share":
            return tuple(own / other for own, other in pairs)
        return tuple(other / own for own, other in pairs)

    def met(self, figures: tuple[float, ...]) -> bool:
        """Tells whether the median keeps within the bound."""
        middle = median(figures)
        return middle >= self.bound if self.kind == "times as fast" else middle <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.kind == 'times as fast' else '≤'} {self.bound:g}"


def times_as_fast(bound: float) -> Goal:
    """Bounds the peer's value over ours from below."""
    return Goal("times as fast", bound)


def share(bound: float) -> Goal:
    """Bounds our value over the peer's from above: 1.03 allows three percent more."""
    return Goal("share", bound)


def at_most(bound: float) -> Goal:
    """Bounds our value itself from above, in the record's unit; there is no peer."""
    return Goal("at most", bound)
