"""Ray Tune's schedulers, reminded of what an earlier driver saw."""

import math
from collections.abc import Sequence
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from service.cluster.sweeps.trial_actor import EPOCH, METRIC
from service.config.sweep import ASHAConfig, MedianStoppingConfig, SchedulerConfig
from service.search.trials import Trial


def build_scheduler(
    scheduler: SchedulerConfig, epochs: float, past: Sequence[Trial]
) -> TrialScheduler:
    """Returns the scheduler that stops trials early, or none.

    Args:
        scheduler: Which one.
        epochs: Length of a trial.
        past: Trials of an earlier driver. The scheduler sees their results again, so that a rung
            holds what was recorded there.
    """
    match scheduler:
        case ASHAConfig():
            return _RemindedASHA(
                past,
                time_attr=EPOCH,
                max_t=max(epochs, scheduler.grace),
                grace_period=scheduler.grace,
                reduction_factor=scheduler.reduction,
            )
        case MedianStoppingConfig():
            return _RemindedMedian(
                past,
                time_attr=EPOCH,
                grace_period=scheduler.grace,
                min_samples_required=scheduler.min_trials,
                # Trials wait for resources, never for each other.
                min_time_slice=math.inf,
            )
        case _:
            return FIFOScheduler()  # type: ignore[no-untyped-call]  # Tune's


class _Past:
    """A trial of an earlier driver, as far as a scheduler looks at it."""

    status = TuneTrial.TERMINATED

    def __init__(self, trial: Trial) -> None:
        self.trial_id = f"{trial.number:03d}"


class _Reminded(TrialScheduler):
    """Shows a scheduler all past results before the first trial of this driver."""

    def __init__(self, past: Sequence[Trial], **settings: Any) -> None:  # noqa: ANN401  # Tune's
        super().__init__(**settings)  # type: ignore[no-untyped-call]  # Tune's
        self._past = list(past)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:  # noqa: ANN401  # Tune's
        """Adds a trial, the past ones before the first."""
        # Not in the constructor: metric and mode are set after it.
        while self._past:
            old = self._past.pop(0)
            self._show(tune_controller, _Past(old), old)
        super().on_trial_add(tune_controller, trial)

    def _show(self, controller: Any, stand_in: Any, past: Trial) -> None:  # noqa: ANN401  # Tune's
        super().on_trial_add(controller, stand_in)
        for result in past.results:
            self._show_result(controller, stand_in, {EPOCH: result.epoch, METRIC: result.value})
        if past.status != "running":
            self.on_trial_complete(controller, stand_in, _last_result(past))

    def _show_result(self, controller: Any, stand_in: Any, result: dict[str, float]) -> None:  # noqa: ANN401  # Tune's
        self.on_trial_result(controller, stand_in, result)


def _last_result(past: Trial) -> dict[str, float]:
    """Returns what Tune shows once more at a trial's end; a failed trial reports no number."""
    value = math.nan if past.status == "failed" or not past.results else past.results[-1].value
    return {EPOCH: past.epochs, METRIC: value}


class _RemindedASHA(_Reminded, ASHAScheduler):
    """Asynchronous successive halving, which knows a trial by its number."""


class _RemindedMedian(_Reminded, MedianStoppingRule):
    """Median stopping, which knows a trial by Tune's object for it."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:  # noqa: ANN401  # Tune's
        """Adds a trial; one that goes on gets the results of its past."""
        super().on_trial_add(tune_controller, trial)
        for known in list(self._results):
            if known is not trial and known.trial_id == trial.trial_id:
                self._results[trial] = self._results.pop(known)

    def _show_result(self, controller: Any, stand_in: Any, result: dict[str, float]) -> None:  # noqa: ANN401  # Tune's
        # Takes note without a decision: one that comes now, beside results of later hours, could be
        # to stop, and a stopped trial must not report again.
        self.on_trial_complete(controller, stand_in, result)
