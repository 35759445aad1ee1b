"""Brings a run folder's journals to MLflow."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from service.tracking.client import connect, unavailable_on_failure
from service.tracking.outbox import Batch, Outbox, count_undelivered
from service.tracking.request import RunRequest

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from service.tracking.runs import StartedRun, Status


class Delivery:
    """Delivers the metrics of one run folder, and creates the MLflow run where there is none yet.

    Args:
        folder: The run folder, which holds the journals.
        request: The run.
        run_id: MLflow's name for the run, if it is open already.
    """

    def __init__(self, folder: Path, request: RunRequest, run_id: str | None = None) -> None:
        self.folder = folder
        self.request = request
        self._run_id = run_id

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
        """Sends what was not sent yet, oldest first.

        Args:
            go_on: Asked before each batch; False leaves the rest for later.

        Raises:
            TrackingUnavailableError: MLflow cannot be used now; what was sent is not sent again.
        """
        with unavailable_on_failure():
            run_id = self._run_id or self.open().run_id
            outbox = Outbox(self.folder, run_id)
            batch = outbox.next_batch()
            if batch is None:
                return
            client = connect(self.request.uri)
            while batch is not None and go_on():
                self._send(client, run_id, batch)
                outbox.confirm(batch)
                batch = outbox.next_batch()

    def finish(self, status: "Status", reason: str | None, tags: Mapping[str, str]) -> None:
        """Closes the run.

        Args:
            status: How it ended.
            reason: Why, in one line.
            tags: What is known only at the end.

        Raises:
            TrackingUnavailableError: MLflow cannot be used now.
        """
        from service.tracking.runs import finish_run

        run_id = self._run_id or self.open().run_id
        with unavailable_on_failure():
            finish_run(connect(self.request.uri), run_id, status, reason, tags)

    def undelivered(self) -> int:
        """Returns how many records of metrics still wait."""
        return count_undelivered(self.folder)

    def _send(self, client: "MlflowClient", run_id: str, batch: Batch) -> None:
        """Sends a batch; a run that the server has lost is looked for anew the next time."""
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        metrics = [Metric(row.key, row.value, row.time, row.step) for row in batch.rows]
        try:
            client.log_batch(run_id, metrics=metrics)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                self._run_id = None
            raise
