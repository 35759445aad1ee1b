"""Follows a sweep from within Ray Tune's loop and keeps the ledger."""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from service.cluster.sweeps.budget import Budget
from service.cluster.sweeps.ending import Ending
from service.cluster.sweeps.live_table import LiveTable
from service.cluster.sweeps.population import Population
from service.cluster.sweeps.sweep import Sweep
from service.cluster.sweeps.trial_actor import COMPLETE, EPOCH, METRIC
from service.search.ledger import Ledger
from service.search.proposals import Proposals
from service.search.trials import Result, Status


class Following(tune.Callback):
    """Writes down what trials report and how they end.

    Args:
        sweep: The sweep.
        ledger: Where it is written.
        proposals: Who learns from the results.
        budget: The sweep's clock.
        ending: What is done with a trial that ended.
        table: What the terminal shows.
        log: Called after each result.
        population: The scheduler of population based training, if that is used.
    """

    def __init__(
        self,
        sweep: Sweep,
        ledger: Ledger,
        proposals: Proposals,
        budget: Budget,
        ending: Ending,
        table: LiveTable,
        log: Callable[[], None],
        population: Population | None,
    ) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._proposals = proposals
        self._budget = budget
        self._ending = ending
        self._table = table
        self._log = log
        self._population = population
        self._free_since: deque[float] = deque([time.time()] * sweep.plan.concurrent)
        self._first_steps: set[int] = set()
        self.gaps: list[float] = []
        """Seconds from the moment at which room for a trial was free to the trial's first step."""

    def take_up(self) -> None:
        """Does what an earlier driver no longer could for trials that had come to their end."""
        self._ending.take_up(self._ledger.trials)
        for trial in self._ledger.trials:
            full = self._sweep.job(trial.number, trial.point).length.epochs
            if trial.status == "running" and trial.epochs >= full:
                self._end(trial.number, "finished", None)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,  # noqa: ANN401  # Tune's
    ) -> None:
        """Writes an evaluation down."""
        number = int(trial.trial_id)
        if "failure" in result or result[EPOCH] <= self._ledger[number].epochs:
            return  # the latter comes again from a trial whose actor was replaced
        self._note_first_step(number, result["first_step_at"])
        evaluation = Result(
            result[EPOCH], result[METRIC], self._budget.elapsed, result["training_seconds"]
        )
        self._ledger.add_result(number, evaluation)
        self._table.show_result(self._ledger[number])
        self._log()

    def on_trial_complete(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        **info: Any,  # noqa: ANN401  # Tune's
    ) -> None:
        """Ends a trial: at its full length, early, or failed."""
        number = int(trial.trial_id)
        if self._ledger[number].status != "running":
            return
        last = trial.last_result or {}
        if "failure" in last:
            self._end(number, "failed", last["failure"])
        elif last.get(COMPLETE):
            self._end(number, "finished", None)
        elif self._budget.asked_to_stop:
            self._ending.interrupt(self._ledger[number])
        else:
            self._end(number, "stopped", self._stopped_text(number))

    def on_trial_error(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        **info: Any,  # noqa: ANN401  # Tune's
    ) -> None:
        """Ends a trial whose actor was lost more often than allowed."""
        number = int(trial.trial_id)
        if self._ledger[number].status == "running":
            lines = (trial.error_file and _last_line(trial.error_file)) or "its actor was lost"
            self._end(number, "failed", lines)

    def on_experiment_end(self, trials: list[TuneTrial], **info: Any) -> None:  # noqa: ANN401  # Tune's
        """Ends the trials that Tune ended all at once, which it tells nobody one by one."""
        for trial in trials:
            self.on_trial_complete(0, trials, trial)

    def on_step_end(
        self,
        iteration: int,
        trials: list[TuneTrial],
        **info: Any,  # noqa: ANN401  # Tune's
    ) -> None:
        """Lets the trials of a population go on, once the last one's result is written down."""
        if self._population is None:
            return
        for number, source in self._population.meet().items():
            self._table.show_change(self._ledger[number], source)

    def _end(self, number: int, status: Status, reason: str | None) -> None:
        self._free_since.append(time.time())
        self._ledger.end(number, status, reason, self._ending.facts(number))
        trial = self._ledger[number]
        self._proposals.tell(trial)
        self._ending.end(trial, self._ledger.trials)
        self._table.show_end(trial)

    def _stopped_text(self, number: int) -> str:
        trial = self._ledger[number]
        full = self._sweep.job(number, trial.point).length.epochs
        why = self._budget.spent or f"by {self._sweep.search.scheduler.kind}"
        return f"stopped early at epoch {trial.epochs:g} of {full:g}: {why}"

    def _note_first_step(self, number: int, at: float) -> None:
        if number in self._first_steps or math.isnan(at):
            return
        self._first_steps.add(number)
        if self._free_since:
            self.gaps.append(at - self._free_since.popleft())


def _last_line(file: str) -> str:
    with open(file, encoding="utf-8") as error:
        lines = error.read().strip().splitlines()
    return lines[-1] if lines else ""
