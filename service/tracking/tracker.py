"""What the rest of the service uses: a tracker in training, and the start and end in the driver."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from service.tracking.address import redact
from service.tracking.artifacts import ArtifactFolder
from service.tracking.client import (
    LONGEST_WAIT,
    TrackingUnavailableError,
    connect,
    unavailable_on_failure,
    within,
)
from service.tracking.delivery import Delivery, kept_already
from service.tracking.journal import METRICS_JOURNAL, Journal
from service.tracking.request import RunRequest
from service.tracking.shipping import Shipper
from service.tracking.used import keep_used
from service.tracking.waiting import WaitingMetrics

if TYPE_CHECKING:
    from service.tracking.runs import StartedRun, Status

logger = logging.getLogger(__name__)


class RunTracker:
    """Records a run in the training process of rank 0: to its folder now, to MLflow soon.

    No call waits for a server.

    Args:
        folder: The run folder.
        request: The run; None keeps the journal and the files alone.
        run_id: MLflow's name for the run, or what finds it out; None to open it here.
        ship_every: Seconds between deliveries.
        headline: Metric that is recorded first, as NaN at step 0: MLflow's comparison page draws
            the metric that came first.
        keep: Called before anything is sent to MLflow; see `Delivery`.
    """

    def __init__(
        self,
        folder: Path,
        request: RunRequest | None,
        *,
        run_id: "str | Callable[[], str | None] | None" = None,
        ship_every: float = 5.0,
        headline: str | None = None,
        keep: Callable[[], None] = kept_already,
    ) -> None:
        self._journal = Journal(folder / METRICS_JOURNAL)
        self._waiting = WaitingMetrics(self._journal)
        self._artifacts = ArtifactFolder(folder)
        if headline is not None:
            self._journal.write(0, {headline: math.nan})
        self._shipper: Shipper | None = None
        if request is not None:
            keep_used(folder, request.config_digest, request.tags, request.datasets)
            delivery = Delivery(folder, request, run_id, keep)
            self._shipper = Shipper(delivery, ship_every, self._journal.write_event)
            self._shipper.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records metrics of a step; a step that was recorded before a restart is left out.

        They are in the journal some hundredths of a second later; see `flush`.

        Args:
            step: Optimiser step, at least 0.
            metrics: Value by name.

        Raises:
            ValueError: The step is negative or MLflow would refuse a name.
            OSError: Earlier metrics could not be written.
        """
        self._waiting.put(step, metrics)

    def flush(self) -> None:
        """Returns once everything that was logged is in the journal.

        Raises:
            OSError: It could not be written.
        """
        self._waiting.drain()

    def event(self, kind: str, text: str) -> None:
        """Records something people should read; the driver prints it.

        Args:
            kind: What it is about.
            text: One line.

        Raises:
            OSError: The journal could not be written.
        """
        self.flush()
        self._journal.write_event(kind, text)

    def attach(self, path: str, content: bytes) -> None:
        """Records a file of the run, which MLflow stores under the same path.

        A file that is written again under its path is stored again.

        Args:
            path: Relative path with slashes, such as evaluation/step_00001200/pictures.png.
            content: What it holds.

        Raises:
            ValueError: The path leads elsewhere, or MLflow would refuse it.
            OSError: The file could not be written.
        """
        self._artifacts.write(path, content)

    def close(self, deadline: float = 10.0) -> int:
        """Delivers what is left and closes the journal. The run stays open: the driver ends it.

        Args:
            deadline: Longest wait in seconds.

        Returns:
            Records of metrics and files that still wait in the run folder.

        Raises:
            OSError: The last metrics could not be written.
        """
        try:
            self._waiting.close()
        finally:
            waiting = 0 if self._shipper is None else self._shipper.close(deadline)
            self._journal.close()
        return waiting


def start_run(
    folder: Path, request: RunRequest, deadline: float = LONGEST_WAIT
) -> "StartedRun | None":
    """Opens the run in MLflow before training starts.

    Args:
        folder: The run folder.
        request: The run.
        deadline: Longest wait in seconds.

    Returns:
        The run, or None where MLflow cannot be used now, which is logged: training goes on, and
        the tracker opens the run when MLflow is back.
    """
    try:
        return within(deadline, Delivery(folder, request).open)
    except TrackingUnavailableError as error:
        logger.warning(
            "MLflow at %s cannot be used now (%s): metrics are kept in %s and delivered later",
            redact(request.uri),
            error,
            folder,
        )
        return None


def close_ahead(request: RunRequest, run_id: str, status: "Status", reason: str) -> None:
    """Closes a run that is about to end, in case its process is killed before `end_run`.

    What the run folder still holds can be delivered afterwards. A server that fails is not told
    of here: `end_run` will do so, or nobody is left to hear it.

    Args:
        request: The run.
        run_id: MLflow's name for it.
        status: How it ends.
        reason: Why, in one line.
    """
    from service.tracking.runs import finish_run

    with suppress(TrackingUnavailableError), unavailable_on_failure():
        finish_run(connect(request.uri), run_id, status, reason, {})


def end_run(
    folder: Path,
    request: RunRequest,
    status: "Status",
    *,
    run_id: str | None = None,
    reason: str | None = None,
    tags: Mapping[str, str] | None = None,
    deadline: float = LONGEST_WAIT,
    keep: Callable[[], None] = kept_already,
) -> str | None:
    """Delivers what the run folder still holds and closes the run in MLflow.

    Together with `RunTracker.close` the end of training waits half a minute at most, whatever the
    server does; what it did not take stays in the run folder.

    Args:
        folder: The run folder.
        request: The run.
        status: How it ended.
        run_id: MLflow's name for the run, if it is known.
        reason: Why it ended so, in one line.
        tags: What is known only at the end, such as the best checkpoint's address.
        deadline: Longest wait in seconds. After three quarters of it no more batches and files
            are begun, so that the status arrives.
        keep: Called before anything is sent; see `Delivery`.

    Returns:
        None, or one line that says what could not be delivered and how it can be.
    """
    until = time.monotonic() + 0.75 * deadline
    delivery = Delivery(folder, request, run_id, keep)
    problem = f"it took longer than {0.75 * deadline:g} s"

    def deliver() -> None:
        delivery.deliver(lambda: time.monotonic() < until)
        delivery.finish(status, reason, tags or {})

    try:
        within(deadline, deliver)
    except TrackingUnavailableError as error:
        problem = str(error)
    else:
        if not delivery.undelivered():
            return None
    return (
        f"MLflow at {redact(request.uri)} did not take everything ({problem}): "
        f"{delivery.undelivered_text()} and the status {status} of run {request.name} "
        f"are kept in {folder}; --resume delivers them"
    )
