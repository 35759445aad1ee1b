"""A trial as Ray Tune sees it: an actor that drives one run of Ray Train after the other."""

import math
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import tune

from service.cluster.job import Job
from service.cluster.sweeps.live_run import Evaluation, LiveRun
from service.cluster.sweeps.sweep import Sweep
from service.cluster.turns import write_turn
from service.config.failures import root_cause
from service.search.trials import Point
from service.storage.working_copy import publish

KNOWN = "known_epochs"
"""Key of a trial's configuration in Tune, beside the paths of its values: epochs whose results an
earlier driver knows."""
EPOCH, STEP, METRIC = "epoch", "step", "metric"
"""Keys of a result in Tune: epochs and optimiser steps done, and the searched metric."""
COMPLETE = "complete"
"""Key of a result in Tune: whether the trial reached its full length."""
FAILURE = "failure.txt"
"""File of a failed trial's folder: the traceback."""

_PATIENCE = 120.0  # seconds a run gets to save and end


def point_of(config: dict[str, Any]) -> Point:
    """Returns a trial's values from its configuration in Tune."""
    return {key: value for key, value in config.items() if key != KNOWN}


class TrialActor(tune.Trainable):
    """Runs trials one after the other; the process, with its imports, is kept between them."""

    def setup(self, config: dict[str, Any], sweep: Sweep) -> None:  # type: ignore[override]
        """Takes the first trial; Tune passes what `tune.with_parameters` was given."""
        self._sweep = sweep
        self._run: LiveRun | None = None
        self._last: Evaluation | None = None
        self._begin(config)

    def step(self) -> dict[str, Any]:
        """Trains to the next evaluation, the last one only once everything is safe."""
        try:
            evaluation = self._next_evaluation()
        except Exception as error:
            return self._failed(error)
        if math.isnan(evaluation.value):
            return self._not_finite(evaluation)
        self._last = evaluation
        return self._report(evaluation)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes another trial."""
        self._end_run()
        self._begin(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Saves nothing: what a trial goes on from lies in its own folder."""
        (Path(checkpoint_dir) / "empty").touch()

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]  # their types
        """Needs nothing."""

    def cleanup(self) -> None:
        """Ends the trial, so that its workers' resources are free."""
        self._end_run()

    def _begin(self, config: dict[str, Any]) -> None:
        self._number = int(self.trial_id)
        self._known = float(config[KNOWN])
        self._point = point_of(config)
        self._last = None

    def _job(self) -> Job:
        return self._sweep.job(self._number, self._point)

    def _next_evaluation(self) -> Evaluation:
        if self._run is None:
            self._run = self._start()
        evaluation = self._run.next_evaluation()
        if evaluation is None:
            raise RuntimeError("the run ended without another evaluation")
        if evaluation.complete:
            self._run.wait()
        return evaluation

    def _start(self) -> LiveRun:
        job = self._job()
        if (job.folder / FAILURE).exists():
            raise RuntimeError("the trial failed before")
        return LiveRun(job, self._sweep.plan.each, self._sweep.search.metric, self._known)

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        if run.alive:
            run.stop(_PATIENCE, self._refuse if self._sweep.steered else None)

    def _refuse(self, step: int) -> None:
        """Answers a run that was asked to stop on its way to an evaluation, and waits there."""
        write_turn(self._sweep.trial_folder(self._number), step, "stop")

    def _report(self, evaluation: Evaluation) -> dict[str, Any]:
        done = not (self._run and self._run.alive)
        return {
            EPOCH: evaluation.epoch,
            METRIC: evaluation.value,
            STEP: evaluation.step,
            "training_seconds": evaluation.seconds,
            "first_step_at": evaluation.first_step_at,
            COMPLETE: evaluation.complete,
            tune.result.DONE: done,
        }

    def _failed(self, error: Exception) -> dict[str, Any]:
        cause = root_cause(error)
        # Another driver took the sweep over, and runs this trial itself.
        self._sweep.claim.check()
        text = "".join(traceback.format_exception(cause))
        return self._failure(f"{type(cause).__name__}: {cause}", text)

    def _not_finite(self, evaluation: Evaluation) -> dict[str, Any]:
        self._end_run()
        reason = f"{self._sweep.search.metric} is not finite after epoch {evaluation.epoch:g}"
        return self._failure(reason, reason)

    def _failure(self, reason: str, text: str) -> dict[str, Any]:
        folder = self._sweep.trial_folder(self._number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).write_text(text, "utf-8")
        with suppress(OSError):  # the sweep's ledger has the reason
            publish(folder / FAILURE)
        epoch = self._last.epoch if self._last else 0.0
        return {
            EPOCH: epoch,
            METRIC: math.nan,
            "failure": reason.strip().splitlines()[0],
            tune.result.DONE: True,
        }
