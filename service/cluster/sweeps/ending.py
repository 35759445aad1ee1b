"""What is done with a trial that ended: its run in MLflow is closed, losers lose checkpoints."""

import threading
import time
from collections.abc import Container, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from service.cluster.console import announce
from service.cluster.run_copy import begin_copy, gathered
from service.cluster.sweeps.adoption import forget_adopted
from service.cluster.sweeps.live_run import live_file
from service.cluster.sweeps.sweep import SWEEP_TAG, TRIAL_TAG, Sweep
from service.cluster.sweeps.trial_actor import FAILURE
from service.search.ledger import Ledger
from service.search.trials import Trial, ranked
from service.storage.working_copy import publish, told
from service.tracking.client import TrackingUnavailableError
from service.tracking.runs import Status
from service.tracking.sweep_runs import runs_with_tag, store_files
from service.tracking.tracker import close_ahead, end_run
from service.training.retention import best_checkpoint, checkpoint_folders
from service.training.stored_checkpoints import bring_small_files, discard

_PATIENCE = 60.0  # seconds; the mark of an actor that was killed stays
_LOOKS, _LOOK_SECONDS = 5, 0.5

_STATUS: dict[str, Status] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class Ending:
    """Ends trials in a thread of its own, so that a slow server holds up no other trial.

    Args:
        sweep: The sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._thread = ThreadPoolExecutor(1, "ending")
        self._one_at_a_time = threading.Lock()
        self._pending: list[Future[None]] = []

    def facts(self, number: int) -> dict[str, str]:
        """Returns what is known of a trial at its end: its best checkpoint."""
        bring_small_files(self._sweep.trial_folder(number))
        return self._checkpoint_tag(number)

    def end(self, trial: Trial, trials: Sequence[Trial]) -> None:
        """Closes a trial's run and removes the checkpoints of those that fell behind.

        Args:
            trial: The trial.
            trials: All trials so far.
        """
        remove_losers(self._sweep, trials)
        tags = {"trial_status": trial.status, **self._checkpoint_tag(trial.number)}
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
            begin_copy(folder)
            live_file(folder).unlink(missing_ok=True)
            if trial.status != "running" and folder.exists() and not _closed(folder).exists():
                self.end(trial, trials)

    def interrupt(self, trial: Trial) -> None:
        """Closes the run of a trial that another driver may go on with."""
        self._submit(trial, "KILLED", _interrupted(trial), {"trial_status": "interrupted"})

    def close_ahead(self, ledger: Ledger) -> None:
        """Closes the runs of the trials that are under way, before these have ended.

        Their driver may be killed seconds after it was asked to stop. What the folders of the
        trials still hold can be delivered afterwards; `interrupt` and `end` have the last word.

        Args:
            ledger: All trials so far.
        """
        closed: set[int] = set()
        for _ in range(_LOOKS):
            closed |= self._close_open(ledger, closed)
            if all(t.number in closed for t in ledger.trials if t.status == "running"):
                return
            time.sleep(_LOOK_SECONDS)  # a trial's first act is to open its run

    def _close_open(self, ledger: Ledger, closed: Container[int]) -> set[int]:
        """Closes the runs that MLflow knows of trials under way, but for those closed before."""
        sweep, found = self._sweep, set()
        if sweep.request is None:
            return {trial.number for trial in ledger.trials}
        # A server that is away is told of by `interrupt`, if there is time.
        with suppress(TrackingUnavailableError):
            runs = runs_with_tag(sweep.request, SWEEP_TAG, sweep.name, TRIAL_TAG)
            for number, run_id in sorted((int(text), run_id) for text, run_id in runs.items()):
                with self._one_at_a_time:
                    trial = ledger[number]
                    if trial.status == "running" and number not in closed:
                        close_ahead(sweep.request, run_id, "KILLED", _interrupted(trial))
                        found.add(number)
        return found

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
        with self._one_at_a_time, gathered(job) as keep:
            problems.append(
                end_run(job.folder, job.request, status, reason=reason, tags=tags, keep=keep)
            )
        for problem in problems:
            if problem is not None:
                announce(f"warning: trial {trial.number}: {problem}")
        if trial.status != "running" and not any(problems):
            _closed(job.folder).touch()
            publish(_closed(job.folder))

    def _checkpoint_tag(self, number: int) -> dict[str, str]:
        best = self._best_checkpoint(number)
        return {"checkpoint": told(best)} if best else {}

    def _best_checkpoint(self, number: int) -> Path | None:
        search = self._sweep.search
        return best_checkpoint(self._sweep.trial_folder(number), search.metric, search.mode)


def remove_losers(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Removes the checkpoints of trials that ended and are not among the best.

    What a trial adopted from another one is removed when it ended, whatever its place.

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
                discard(folder)
        if trial.status != "running":
            forget_adopted(sweep.trial_folder(trial.number))


def _interrupted(trial: Trial) -> str:
    return f"the sweep was stopped at epoch {trial.epochs:g}; --resume goes on"


def _closed(folder: Path) -> Path:
    """Returns the file that exists once a trial's end is in MLflow."""
    return folder / "closed"


def _wait_for_workers(folder: Path) -> None:
    """Waits until a run's workers are gone: they might open its run in MLflow again."""
    until = time.monotonic() + _PATIENCE
    while live_file(folder).exists() and time.monotonic() < until:
        time.sleep(0.1)
