"""Proposals that do not depend on how trials end."""

from collections.abc import Iterable

from service.search.space import Identity, identity
from service.search.trials import Point, Trial


class SequenceProposals:
    """Proposes the points of a sequence that no trial has had, in order.

    Args:
        points: The sequence, no point twice, the same each time the sweep is resumed.
        total: Trials in all, past ones included.
    """

    def __init__(self, points: Iterable[Point], total: int) -> None:
        self.total = total
        self._points = enumerate(points, start=1)
        self._numbers: set[int] = set()
        self._taken: set[Identity] = set()
        # A trial that population based training changed has lost its first point; that stood at
        # its number in the sequence.
        self._changed: set[int] = set()

    def ask(self) -> Point | None:
        """Returns the next point, None if nothing is left."""
        if len(self._numbers) >= self.total:
            return None
        for position, point in self._points:
            if identity(point) not in self._taken and position not in self._changed:
                self._numbers.add(max(self._numbers, default=0) + 1)
                return point
        return None

    def tell(self, trial: Trial) -> None:
        """Takes note of a past trial; how a trial ends changes nothing."""
        if trial.number in self._numbers:
            return
        self._numbers.add(trial.number)
        self._taken.add(identity(trial.point))
        if trial.changes:
            self._changed.add(trial.number)
