"""A trial as Ray Tune sees it: an actor that drives one run of Ray Train after the other."""

import json
import math
import traceback
from pathlib import Path
from typing import Any

from ray import tune

from service.cluster.failures import root_cause
from service.cluster.job import Job
from service.cluster.runs import record
from service.cluster.sweeps.adoption import adopt
from service.cluster.sweeps.live_run import Evaluation, LiveRun
from service.cluster.sweeps.sweep import Sweep
from service.cluster.turns import continuation, write_turn
from service.search.trials import Point
from service.training.turn import Turn

KNOWN = "known_epochs"
"""Key of a trial's configuration in Tune, beside the paths of its values: epochs whose results an
earlier driver knows."""
EPOCH, METRIC = "epoch", "metric"
"""Keys of a result in Tune: epochs done, and the searched metric."""
FAILURE = "failure.txt"
"""File of a failed trial's folder: the traceback."""

_POINTER = "pointer.json"
_PATIENCE = 120.0  # seconds a run gets to save and end


def point_of(config: dict[str, Any]) -> Point:
    """Returns a trial's values from its configuration in Tune."""
    return {key: value for key, value in config.items() if key != KNOWN}


def source_of(checkpoint: str) -> int:
    """Returns the number of the trial that a checkpoint of Tune's was made by."""
    return int(json.loads((Path(checkpoint) / _POINTER).read_text("utf-8"))["trial"])


class TrialActor(tune.Trainable):
    """Runs trials one after the other; the process, with its imports, is kept between them.

    A checkpoint of Tune's only names the folder of one of ours.
    """

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
        self._last, self._turn_due = evaluation, self._sweep.steered
        return self._report(evaluation)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes another trial, or other values for the same one."""
        same = int(self.trial_id) == self._number
        if same and self._run is not None and self._run.alive:
            self._point = point_of(new_config)
        else:
            self._end_run()
            self._begin(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Names the checkpoint of the last evaluation."""
        if self._last is None:
            raise RuntimeError(f"trial {self._number} has nothing to save yet")
        at = {"step": self._last.step, "epoch": self._last.epoch}
        pointer = {"trial": self._number, "point": self._point, **at}
        (Path(checkpoint_dir) / _POINTER).write_text(json.dumps(pointer), "utf-8")

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]  # their types
        """Takes over what the named checkpoint holds, if it is not this trial's own state."""
        pointer = json.loads((Path(checkpoint_dir) / _POINTER).read_text("utf-8"))
        self._known = pointer["epoch"]
        if (pointer["trial"], pointer["point"]) == (self._number, self._point):
            return
        job, step = self._job(), pointer["step"]
        adopted = adopt(job.folder, self._sweep.trial_folder(pointer["trial"]), step)
        record(job.folder, job.config)
        write_turn(job.folder, step, continuation(adopted, job.config))
        self._turn_due = False

    def cleanup(self) -> None:
        """Ends the trial, so that its workers' resources are free."""
        self._end_run()

    def _begin(self, config: dict[str, Any]) -> None:
        # Not from the configuration: population based training clones that as a whole.
        self._number = int(self.trial_id)
        self._known = float(config[KNOWN])
        self._point = point_of(config)
        self._last = None
        self._turn_due = False

    def _job(self) -> Job:
        return self._sweep.job(self._number, self._point)

    def _next_evaluation(self) -> Evaluation:
        if self._run is None:
            self._run = self._start()
        else:
            self._answer("go_on")
        evaluation = self._run.next_evaluation()
        if evaluation is None:
            raise RuntimeError("the run ended without another evaluation")
        if evaluation.epoch >= self._sweep.job(self._number, self._point).length.epochs:
            self._run.wait()
        return evaluation

    def _start(self) -> LiveRun:
        job = self._job()
        if (job.folder / FAILURE).exists():
            raise RuntimeError("the trial failed before")
        record(job.folder, job.config)
        return LiveRun(job, self._sweep.plan.each, self._sweep.search.metric, self._known)

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        if run.alive:
            self._answer("stop")
            run.stop(_PATIENCE)

    def _answer(self, turn: Turn) -> None:
        """Answers a run that waits after its last evaluation, unless it was answered."""
        if self._turn_due and self._last is not None:
            write_turn(self._sweep.trial_folder(self._number), self._last.step, turn)
            self._turn_due = False

    def _report(self, evaluation: Evaluation) -> dict[str, Any]:
        done = not (self._run and self._run.alive)
        return {
            EPOCH: evaluation.epoch,
            METRIC: evaluation.value,
            "step": evaluation.step,
            "training_seconds": evaluation.seconds,
            "first_step_at": evaluation.first_step_at,
            tune.result.DONE: done,
        }

    def _failed(self, error: Exception) -> dict[str, Any]:
        cause = root_cause(error)
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
        epoch = self._last.epoch if self._last else 0.0
        return {
            EPOCH: epoch,
            METRIC: math.nan,
            "failure": reason.strip().splitlines()[0],
            tune.result.DONE: True,
        }
