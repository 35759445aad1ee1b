"""Brings a run folder's journals and files to MLflow."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from service.tracking.artifacts import ARTIFACTS
from service.tracking.client import connect, patience, unavailable_on_failure
from service.tracking.outbox import (
    LARGEST_BATCH,
    Batch,
    Outbox,
    count_undelivered,
    count_undelivered_files,
)
from service.tracking.request import RunRequest

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from service.tracking.runs import StartedRun, Status

logger = logging.getLogger(__name__)


def kept_already() -> None:
    """Does nothing: what lies in a folder that all machines see is kept."""


class Delivery:
    """Delivers what one run folder holds, and creates the MLflow run where there is none yet.

    Args:
        folder: The run folder, which holds the journals.
        request: The run.
        run_id: MLflow's name for the run, if it is open already, or what finds it out; raises
            NotYetOpenError where that is too early.
        keep: Called before anything is sent. What MLflow has, a run that goes on elsewhere must
            know: it would record it again.
    """

    def __init__(
        self,
        folder: Path,
        request: RunRequest,
        run_id: "str | Callable[[], str | None] | None" = None,
        keep: Callable[[], None] = kept_already,
    ) -> None:
        self.folder = folder
        self.request = request
        self._keep = keep
        self._run_id = None if callable(run_id) else run_id
        self._finds_out = run_id if callable(run_id) else None
        self._largest = LARGEST_BATCH

    @property
    def is_open(self) -> bool:
        """Whether the run is known to be open in MLflow."""
        return self._run_id is not None

    def open(self) -> "StartedRun":
        """Finds the run or creates it.

        Raises:
            TrackingUnavailableError: MLflow cannot be used now.
        """
        from service.tracking.runs import open_run

        with unavailable_on_failure():
            started = open_run(connect(self.request.uri), self.request)
        self._run_id = started.run_id
        return started

    def deliver(self, go_on: Callable[[], bool]) -> None:
        """Sends what was not sent yet: metrics, oldest first, then files, oldest first.

        Args:
            go_on: Asked before each batch and each file; False leaves the rest for later.

        Raises:
            TrackingUnavailableError: MLflow cannot be used now; what was sent is not sent again.
        """
        with unavailable_on_failure():
            run_id = self._known() or self.open().run_id
            outbox = Outbox(self.folder, run_id)
            batch, file = outbox.next_batch(self._largest), outbox.next_file()
            if batch is None and file is None:
                return
            client = connect(self.request.uri)
            while batch is not None and go_on():
                self._keep()
                self._send(client, run_id, batch)
                outbox.confirm(batch)
                batch = outbox.next_batch(self._largest)
            while file is not None and go_on():
                self._keep()
                if file.path is not None:
                    self._send_file(client, run_id, file.path)
                outbox.confirm(file)
                file = outbox.next_file()

    def finish(self, status: "Status", reason: str | None, tags: Mapping[str, str]) -> None:
        """Closes the run.

        Args:
            status: How it ended.
            reason: Why, in one line.
            tags: What is known only at the end.

        Raises:
            TrackingUnavailableError: MLflow cannot be used now.
        """
        from service.tracking.runs import finish_run, tidy_run

        run_id = self._known() or self.open().run_id
        with unavailable_on_failure():
            client = connect(self.request.uri)
            finish_run(client, run_id, status, reason, tags)
            tidy_run(client, run_id, self.request)

    def undelivered(self) -> int:
        """Returns how many records of metrics and files still wait."""
        return count_undelivered(self.folder) + count_undelivered_files(self.folder)

    def undelivered_text(self) -> str:
        """Returns what still waits, such as `3 records, 2 files`."""
        files = count_undelivered_files(self.folder)
        return f"{count_undelivered(self.folder)} records" + (f", {files} files" if files else "")

    def _known(self) -> str | None:
        """Returns MLflow's name for the run, if somebody has opened it."""
        if self._run_id is None and self._finds_out is not None:
            self._run_id = self._finds_out()
        return self._run_id

    def _send(self, client: "MlflowClient", run_id: str, batch: Batch) -> None:
        """Sends a batch; the next one is smaller where this one took long, and larger again after.

        A server that cannot store a thousand rows in the time of a request can store fewer.
        """
        from mlflow.entities import Metric

        metrics = [Metric(row.key, row.value, row.time, row.step) for row in batch.rows]
        begun = time.monotonic()
        try:
            with self._forgetting_a_lost_run():
                # More than one request only for a single record that is larger than that.
                for start in range(0, len(metrics), LARGEST_BATCH):
                    client.log_batch(run_id, metrics=metrics[start : start + LARGEST_BATCH])
        finally:
            share = (time.monotonic() - begun) / patience()
            if share > 0.5:
                self._largest = max(1, self._largest // 2)
            elif share < 0.25:
                self._largest = min(LARGEST_BATCH, 2 * self._largest)

    def _send_file(self, client: "MlflowClient", run_id: str, path: str) -> None:
        """Sends a file as it is now; one that was deleted is reported and left out."""
        file = self.folder / ARTIFACTS / path
        if not file.is_file():
            logger.warning("%s is gone and was not stored in MLflow", file)
            return
        # MLflow takes no "." for the top.
        parent = str(PurePosixPath(path).parent)
        with self._forgetting_a_lost_run():
            client.log_artifact(run_id, str(file), None if parent == "." else parent)

    @contextmanager
    def _forgetting_a_lost_run(self) -> Iterator[None]:
        """Makes a run that the server has lost be looked for anew the next time."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                self._run_id = self._finds_out = None
            raise
