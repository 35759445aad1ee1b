"""Proposals that learn from the trials so far: Optuna's tree-structured Parzen estimator."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from service.config.sweep import TPESearchConfig
from service.search.feasibility import Feasibility
from service.search.space import Identity, Space, identity
from service.search.study import add_running, new_study, suggested
from service.search.trials import Mode, Point, Trial

if TYPE_CHECKING:
    from optuna import Study

# Proposals of the estimator that may be refused in a row before a point is drawn at random.
_ATTEMPTS = 100


class TPEProposals:
    """Proposes points where good trials are dense and others are not (Bergstra et al. 2011).

    To the estimator a trial that has not ended well, still runs: it counts as a bad one without a
    value, and the next ones keep away from it. So do trials at the same time from each other, later
    trials from those that failed or diverged, and proposals from points that are not allowed or
    were proposed before. What a failed trial had reached never counts.

    Args:
        space: The space.
        feasibility: What a trial must fulfil.
        mode: Whether a larger or a smaller metric is better.
        search: Its search.
        total: Trials in all, past ones included.
        drawn: Points to take where the estimator finds nothing new that is allowed.
    """

    def __init__(
        self,
        space: Space,
        feasibility: Feasibility,
        mode: Mode,
        search: TPESearchConfig,
        total: int,
        drawn: Iterator[Point],
    ) -> None:
        self.total = total
        self._space = space
        self._feasibility = feasibility
        self._mode = mode
        self._timed = search.objectives == "metric_and_time"
        self._drawn = drawn
        self._study: Study = new_study(search, mode)
        # The number in the study of each point that was proposed; None if it is not of the space.
        self._numbers: dict[Identity, int | None] = {}

    def ask(self) -> Point | None:
        """Returns the next point, None if nothing is left."""
        if len(self._numbers) >= self.total:
            return None
        for _ in range(_ATTEMPTS):
            trial = self._study.ask()
            point = suggested(self._space, trial)
            if self._is_new(point) and self._feasibility.refusal(point) is None:
                self._numbers[identity(point)] = trial.number
                return point
        for point in self._drawn:
            if self._is_new(point):
                self._numbers[identity(point)] = add_running(self._study, self._space, point)
                return point
        return None

    def tell(self, trial: Trial) -> None:
        """Learns from a trial that ended well; of another one the point is noted."""
        if identity(trial.point) not in self._numbers:
            self._numbers[identity(trial.point)] = add_running(
                self._study, self._space, trial.point
            )
        number = self._numbers[identity(trial.point)]
        values = self._values(trial)
        if number is not None and values is not None:
            self._study.tell(number, values, skip_if_finished=True)

    def _is_new(self, point: Point) -> bool:
        return identity(point) not in self._numbers

    def _values(self, trial: Trial) -> list[float] | None:
        """Returns what a trial achieved, None if it has not ended well."""
        best = trial.best(self._mode)
        if trial.status in ("running", "failed") or best is None or not math.isfinite(best):
            return None
        if not self._timed:
            return [best]
        # A trial that was stopped took less time than its values would have cost.
        return [best, trial.seconds] if trial.status == "finished" else None
