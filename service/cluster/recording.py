"""What a training process records: metrics, files, warnings, and the load of its node."""

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress

from service.cluster.driver_lock import TakenOverError
from service.cluster.job import Job
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
        leads_node: Whether this process records the load of its node.
    """

    def __init__(self, job: Job, *, leads_run: bool, leads_node: bool) -> None:
        self._check_claim = job.check_claim
        self._step = 0
        self._tracker = _tracker(job) if leads_run else None
        self._system = self._system_metrics(job) if leads_node else None

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._system is not None:
            self._system.close()
        if self._tracker is not None:
            # What ends the training says more than that its last metrics are lost.
            with suppress(StorageError) if kind is not None else nullcontext(), _explained():
                self._tracker.close()

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
        """Returns once all that was recorded is in the run's folder, for a checkpoint to follow.

        A process that goes on from the checkpoint records nothing before it again.

        Raises:
            StorageError: The storage does not take it.
            TakenOverError: Another driver goes on with the run.
        """
        self._check_claim()
        if self._tracker is not None:
            with _explained():
                self._tracker.flush()

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

    def _system_metrics(self, job: Job) -> SystemMetrics | None:
        every = job.config.tracking.system_metrics_every
        if every is None or job.request is None:
            return None
        metrics = SystemMetrics(job.folder, socket.gethostname(), every, lambda: self._step)
        metrics.start()
        return metrics


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


def _tracker(job: Job) -> RunTracker:
    return RunTracker(
        job.folder,
        job.request,
        run_id=job.run_id,
        ship_every=job.config.tracking.ship_every,
        headline=best_name(job.config.checkpoint.metric),
    )
