"""What a training process records: metrics, files, warnings, and the load of its node."""

import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress

from service.cluster.driver_lock import TakenOverError
from service.cluster.job import Job
from service.cluster.run_copy import workers_mirror
from service.tracking.delivery import kept_already
from service.tracking.journal import system_journal
from service.tracking.opening import Opened
from service.tracking.system_metrics import SystemMetrics
from service.tracking.tracker import RunTracker
from service.training.best import best_name
from service.training.run_checkpoints import StorageError

logger = logging.getLogger(__name__)


class Recorder:
    """Writes the run's journals and sends them to MLflow; as a context manager it closes them.

    Args:
        job: The run.
        leads_run: Whether this process records the run's metrics: rank 0.
        node: Number of the node whose load this process records; None if it does not.
    """

    def __init__(self, job: Job, *, leads_run: bool, node: int | None) -> None:
        self._step = 0
        load = _journal_of_load(job, node)
        self._tracker: RunTracker | None = None
        self._mirror = workers_mirror(job, self._tell, load, leads_run=leads_run)
        # With an object store the mirror's thread asks: no step waits for a network.
        self._check_claim = self._mirror.check if self._mirror else job.check_claim
        if leads_run:
            self._tracker = _tracker(job, self._mirror.push if self._mirror else kept_already)
        self._system = self._system_metrics(job, load) if load else None

    def __enter__(self) -> "Recorder":
        if self._mirror is not None:
            self._mirror.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._system is not None:
            self._system.close()
        try:
            if self._tracker is not None:
                # What ends the training says more than that its last metrics are lost.
                with suppress(StorageError) if kind is not None else nullcontext(), _explained():
                    self._tracker.close()
        finally:
            if self._mirror is not None:
                self._mirror.__exit__(None, None, None)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records metrics of a step.

        Raises:
            StorageError: The storage does not take them.
            TakenOverError: Another driver goes on with the run.
        """
        self._step = step
        if self._tracker is None:
            return
        self._check_claim()
        with _explained():
            self._tracker.log(step, metrics)

    def settle(self) -> None:
        """Returns once all that was recorded is in the storage, for a checkpoint to follow.

        A process that goes on from the checkpoint records nothing before it again.

        Raises:
            StorageError: The storage does not take it.
            OSError: The object store does not take it now.
            TakenOverError: Another driver goes on with the run.
        """
        self._check_claim()
        if self._tracker is not None:
            with _explained():
                self._tracker.flush()
        if self._mirror is not None:
            self._mirror.push()

    def attach(self, path: str, content: bytes) -> None:
        """Records a file of the run, of rank 0 alone."""
        if self._tracker is not None:
            self._check_claim()
            self._tracker.attach(path, content)

    def warn(self, text: str) -> None:
        """Records a warning, which the driver shows."""
        self.event("warning", text)

    def event(self, kind: str, text: str) -> None:
        """Records a line that the driver shows.

        Args:
            kind: What it is about.
            text: The line.
        """
        if self._tracker is None:
            return
        try:
            self._check_claim()
            self._tracker.event(kind, text)
        except (OSError, TakenOverError) as error:
            # What is warned of may be this very storage, or the loss of the run.
            logger.warning("%s (not recorded: %s)", text, error)

    def _tell(self, text: str) -> None:
        self.event("storage", text)

    def _system_metrics(self, job: Job, journal: str) -> SystemMetrics | None:
        every = job.config.tracking.system_metrics_every
        if every is None:
            return None
        path = job.folder / journal
        metrics = SystemMetrics(path, socket.gethostname(), every, lambda: self._step)
        metrics.start()
        return metrics


def _journal_of_load(job: Job, node: int | None) -> str | None:
    """Returns the name of the journal of this machine's load, if it is measured by this process."""
    if node is None or job.config.tracking.system_metrics_every is None or job.request is None:
        return None
    # Machines of a cloud may share a name. Only in one folder is that one journal.
    return system_journal(socket.gethostname() + ("" if job.is_here else f"-{node}"))


@contextmanager
def _explained() -> Iterator[None]:
    """Turns the storage's refusal into what people can do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{error.filename or 'the run folder'}: metrics cannot be recorded "
            f"({error.strerror}); free or repair the storage, then go on with --resume"
        ) from error


def _tracker(job: Job, keep: Callable[[], None]) -> RunTracker:
    return RunTracker(
        job.folder,
        job.request,
        run_id=Opened(job.folder),
        ship_every=job.config.tracking.ship_every,
        headline=best_name(job.config.checkpoint.metric),
        keep=keep,
    )
