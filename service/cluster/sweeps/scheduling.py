"""Ray Tune's schedulers, reminded of what an earlier driver saw."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from service.cluster.sweeps.trial_actor import EPOCH, METRIC, point_of
from service.config.sweep import (
    ASHAConfig,
    ChoiceConfig,
    Distribution,
    IntegerConfig,
    IntervalConfig,
    LogUniformConfig,
    MedianStoppingConfig,
    PopulationConfig,
    SweepConfig,
)
from service.search.trials import Point, Trial


def build_scheduler(
    sweep: SweepConfig, epochs: float, past: Sequence[Trial], repair: Callable[[Point], Point]
) -> TrialScheduler:
    """Returns the scheduler that a sweep names.

    Args:
        sweep: The sweep.
        epochs: Length of a trial.
        past: Trials of an earlier driver. The scheduler sees their results again, so that a rung
            holds what was recorded there.
        repair: Makes a valid point of one that population based training changed.
    """
    scheduler = sweep.scheduler
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
        case PopulationConfig():
            return _population(scheduler, sweep, repair)
        case _:
            return FIFOScheduler()  # type: ignore[no-untyped-call]  # Tune's


class _Past:
    """A trial of an earlier driver, as far as a scheduler looks at it."""

    status = TuneTrial.TERMINATED

    def __init__(self, trial: Trial) -> None:
        self.trial_id = f"{trial.number:03d}"


class _Reminded(TrialScheduler):
    """Shows a scheduler past results: of ended trials first, then of each trial that goes on."""

    def __init__(self, past: Sequence[Trial], **settings: Any) -> None:  # noqa: ANN401  # Tune's
        super().__init__(**settings)  # type: ignore[no-untyped-call]  # Tune's
        self._ended = [trial for trial in past if trial.status in ("finished", "stopped")]
        self._going_on = {f"{t.number:03d}": t for t in past if t.status == "running"}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:  # noqa: ANN401  # Tune's
        """Adds a trial, the past ones before the first."""
        # Not in the constructor: metric and mode are set after it.
        while self._ended:
            old = self._ended.pop(0)
            stand_in: Any = _Past(old)
            super().on_trial_add(tune_controller, stand_in)
            self._show(tune_controller, stand_in, old)
        super().on_trial_add(tune_controller, trial)
        if trial.trial_id in self._going_on:
            self._show(tune_controller, trial, self._going_on.pop(trial.trial_id))

    def _show(self, controller: Any, trial: Any, past: Trial) -> None:  # noqa: ANN401  # Tune's
        for result in past.results:
            self.on_trial_result(controller, trial, {EPOCH: result.epoch, METRIC: result.value})


class _RemindedASHA(_Reminded, ASHAScheduler):
    """Asynchronous successive halving."""


class _RemindedMedian(_Reminded, MedianStoppingRule):
    """Median stopping."""


def _population(
    config: PopulationConfig, sweep: SweepConfig, repair: Callable[[Point], Point]
) -> TrialScheduler:
    def explore(changed: dict[str, Any]) -> dict[str, Any]:
        """Brings changed values back between their ends, and into a valid combination."""
        bounded = {k: _bounded(v, sweep.space[k]) for k, v in point_of(changed).items()}
        return changed | repair(bounded)

    return PopulationBasedTraining(
        time_attr=EPOCH,
        perturbation_interval=config.every,
        hyperparam_mutations={path: _mutation(d) for path, d in sweep.space.items()},
        quantile_fraction=config.quantile,
        resample_probability=config.resample,
        perturbation_factors=config.factors,
        custom_explore_fn=explore,
        log_config=False,
        # Trials are compared at the same epoch, so that a clone goes on at its own step.
        synch=True,
    )


def _mutation(distribution: Distribution) -> Any:  # noqa: ANN401  # a domain of Tune's, or a list
    match distribution:
        case ChoiceConfig():
            return list(distribution.values)
        case IntegerConfig():
            return tune.randint(distribution.low, distribution.high + 1)
        case LogUniformConfig():
            return tune.loguniform(distribution.low, distribution.high)
    return tune.uniform(distribution.low, distribution.high)


def _bounded(value: Any, distribution: Distribution) -> Any:  # noqa: ANN401  # a leaf's value
    match distribution:
        case IntegerConfig():
            return min(max(round(value), distribution.low), distribution.high)
        case IntervalConfig():
            return min(max(float(value), distribution.low), distribution.high)
    return value
