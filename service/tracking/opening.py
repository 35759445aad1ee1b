"""A run that is opened in MLflow while its workers start.

To import MLflow takes seconds, and so does a database that is made anew. A file in the run's folder
tells the workers which run it is; empty, that the driver is about to find out. Until then none of
them opens it: who does, sets it running, and the driver may have been asked to stop meanwhile.
"""

import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from service.storage.atomic import whole_file
from service.storage.working_copy import place_of, publish, withdraw
from service.tracking.client import LONGEST_WAIT, NotYetOpenError
from service.tracking.request import RunRequest
from service.tracking.tracker import start_run

if TYPE_CHECKING:
    from service.tracking.runs import StartedRun

_FILE = "mlflow_run.txt"
_PATIENCE = LONGEST_WAIT + 10


class Opening:
    """Opens a run in a thread.

    Args:
        folder: The run folder.
        request: The run.

    Raises:
        OSError: The storage refuses.
    """

    def __init__(self, folder: Path, request: RunRequest) -> None:
        self._file = folder / _FILE
        self._tell("")
        self._outcome: Future[StartedRun | None] = Future()
        thread = threading.Thread(
            target=self._open, args=(folder, request), name="mlflow-opening", daemon=True
        )
        thread.start()

    def started(self) -> "StartedRun | None":
        """Returns the run, or None where MLflow could not be used; waits for the answer."""
        return self._outcome.result()

    def _open(self, folder: Path, request: RunRequest) -> None:
        started = None
        try:
            started = start_run(folder, request)
            # Where it cannot be told the workers find the run themselves, after a while.
            with suppress(OSError):
                withdraw(self._file) if started is None else self._tell(started.run_id)
        finally:
            self._outcome.set_result(started)

    def _tell(self, run_id: str) -> None:
        with whole_file(self._file) as unfinished:
            unfinished.write_text(run_id, "utf-8")
        publish(self._file)


class Opened:
    """Finds out in a worker which run its driver has opened.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._until = time.monotonic() + _PATIENCE

    def __call__(self) -> str | None:
        """Returns MLflow's name for the run; None if no driver opens or could open it.

        Raises:
            NotYetOpenError: The driver is about to open it.
        """
        try:
            run_id = self._content()
        except OSError:
            return None
        if not run_id and time.monotonic() < self._until:
            raise NotYetOpenError("the run's driver is about to open it")
        return run_id or None

    def _content(self) -> str:
        """Returns what the driver wrote here, or on another machine.

        Raises:
            OSError: It wrote nothing.
        """
        place = place_of(self._file)
        if place is None or (self._file.exists() and self._file.stat().st_size):
            return self._file.read_text("utf-8")
        # An empty one may have been copied from the store before the run was open.
        return place.store.read(place.name).decode()
