"""What is done with a trial that ended: its run in MLflow is closed, losers lose checkpoints."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from service.cluster.console import announce
from service.cluster.sweeps.live_run import live_file
from service.cluster.sweeps.sweep import Sweep
from service.cluster.sweeps.trial_actor import FAILURE
from service.search.trials import Trial, ranked
from service.tracking.runs import Status
from service.tracking.sweep_runs import store_files
from service.tracking.tracker import end_run
from service.training.checkpoint_files import remove_checkpoint
from service.training.retention import best_checkpoint, checkpoint_folders

_PATIENCE = 60.0  # seconds; the mark of an actor that was killed stays

_STATUS: dict[str, Status] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class Ending:
    """Ends trials in a thread of its own, so that a slow server holds up no other trial.

    Args:
        sweep: The sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._thread = ThreadPoolExecutor(1, "ending")
        self._pending: list[Future[None]] = []

    def facts(self, number: int) -> dict[str, str]:
        """Returns what is known of a trial at its end: its best checkpoint."""
        best = self._best_checkpoint(number)
        return {"checkpoint": str(best)} if best else {}

    def end(self, trial: Trial, trials: Sequence[Trial]) -> None:
        """Closes a trial's run and removes the checkpoints of those that fell behind.

        Args:
            trial: The trial.
            trials: All trials so far.
        """
        remove_losers(self._sweep, trials)
        tags = {"trial_status": trial.status, **self._checkpoint_tag(trial)}
        if trial.status == "stopped":
            tags["stopped_at_epoch"] = f"{trial.epochs:g}"
        self._submit(trial, _STATUS[trial.status], trial.reason, tags)

    def take_up(self, trials: Sequence[Trial]) -> None:
        """Ends what an earlier driver had not ended to the last; none of its workers lives.

        Args:
            trials: All trials so far.
        """
        for trial in trials:
            folder = self._sweep.trial_folder(trial.number)
            live_file(folder).unlink(missing_ok=True)
            if trial.status != "running" and folder.exists() and not _closed(folder).exists():
                self.end(trial, trials)

    def interrupt(self, trial: Trial) -> None:
        """Closes the run of a trial that another driver may go on with."""
        reason = f"the sweep was stopped at epoch {trial.epochs:g}; --resume goes on"
        self._submit(trial, "KILLED", reason, {"trial_status": "interrupted"})

    def close(self) -> None:
        """Waits until all is done."""
        self._thread.shutdown(wait=True)
        for done in self._pending:
            done.result()

    def _submit(
        self, trial: Trial, status: Status, reason: str | None, tags: dict[str, str]
    ) -> None:
        job = self._thread.submit(self._close_run, trial, status, reason, tags)
        self._pending.append(job)

    def _close_run(
        self, trial: Trial, status: Status, reason: str | None, tags: dict[str, str]
    ) -> None:
        job = self._sweep.job(trial.number, trial.point)
        if job.request is None:
            return
        # A trial whose actor never came up has none yet.
        job.folder.mkdir(parents=True, exist_ok=True)
        _wait_for_workers(job.folder)
        problems = []
        failure = job.folder / FAILURE
        if failure.exists():
            problems.append(store_files(job.folder, job.request, [failure]))
        problems.append(end_run(job.folder, job.request, status, reason=reason, tags=tags))
        for problem in problems:
            if problem is not None:
                announce(f"warning: trial {trial.number}: {problem}")
        if trial.status != "running" and not any(problems):
            _closed(job.folder).touch()

    def _checkpoint_tag(self, trial: Trial) -> dict[str, str]:
        best = self._best_checkpoint(trial.number)
        return {"checkpoint": str(best)} if best else {}

    def _best_checkpoint(self, number: int) -> Path | None:
        search = self._sweep.search
        return best_checkpoint(self._sweep.trial_folder(number), search.metric, search.mode)


def remove_losers(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Removes the checkpoints of trials that ended and are not among the best.

    A worker that is being ended may still write one, so that it takes another look in the end.

    Args:
        sweep: The sweep.
        trials: All trials so far.
    """
    search = sweep.search
    leaders = {trial.number for trial in ranked(trials, search.mode)[: search.keep]}
    for trial in trials:
        if trial.status != "running" and trial.number not in leaders:
            for folder in checkpoint_folders(sweep.trial_folder(trial.number)):
                remove_checkpoint(folder)


def _closed(folder: Path) -> Path:
    """Returns the file that exists once a trial's end is in MLflow."""
    return folder / "closed"


def _wait_for_workers(folder: Path) -> None:
    """Waits until a run's workers are gone: they might open its run in MLflow again."""
    until = time.monotonic() + _PATIENCE
    while live_file(folder).exists() and time.monotonic() < until:
        time.sleep(0.1)
