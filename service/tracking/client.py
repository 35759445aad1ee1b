"""The door to MLflow: its import, which costs a second, and its many kinds of failure."""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from service.storage.atomic import new_file
from service.tracking.address import database_path, is_sqlite, reachable, redact

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

T = TypeVar("T")

LONGEST_WAIT = 20.0
"""Seconds that a driver waits for MLflow at the start and at the end of a run."""

# MLflow's own bounds would block a call on a closed port for four minutes, and one that a busy
# server puts off for as long as the server likes.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_LONGEST_REASON = 300
# A failed request is told with its address twice before its cause.
_CAUSE = re.compile(r"\(Caused by (.+)\)$")


class TrackingUnavailableError(RuntimeError):
    """MLflow cannot be used now; the message is one line without secrets."""


class NotYetOpenError(TrackingUnavailableError):
    """The run's driver is about to open it in MLflow."""


@contextmanager
def unavailable_on_failure() -> Iterator[None]:
    """Turns every failure inside into TrackingUnavailableError.

    MLflow, the database driver, the network and the artifact store each raise errors of their own,
    and none of them may end a training run.
    """
    try:
        yield
    except TrackingUnavailableError:
        raise
    except Exception as error:
        raise TrackingUnavailableError(reason(error)) from error


def within(seconds: float, call: Callable[[], T]) -> T:
    """Returns what a call returns, if it does so in time.

    No time-out of a request bounds a call: a server may answer drop by drop. A call that hangs is
    left behind in a thread that does not keep the process alive.

    Args:
        seconds: Longest wait.
        call: What is called.

    Raises:
        TrackingUnavailableError: It took longer.
        Exception: What the call raised.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="mlflow-call", daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError as error:
        raise TrackingUnavailableError(f"it took longer than {seconds:g} s") from error


def reason(error: Exception) -> str:
    """Returns what is wrong in one line: the cause if the error names one, without secrets."""
    lines = redact(str(error)).strip().splitlines() or [type(error).__name__]
    cause = _CAUSE.search(lines[0])
    return (cause.group(1) if cause else lines[0])[:_LONGEST_REASON]


def set_defaults() -> None:
    """Sets MLflow's bounds and silences it, where the environment does not; before its import."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def patience() -> float:
    """Returns the seconds that each answer of a server may take."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    return float(os.environ.get(name, _DEFAULTS[name]))


def connect(uri: str) -> "MlflowClient":
    """Returns a client whose calls fail within seconds when the server is away.

    Args:
        uri: A resolved tracking URI.

    Raises:
        TrackingUnavailableError: Nothing answers there.
    """
    problem = reachable(uri, patience())
    if problem is not None:
        raise TrackingUnavailableError(problem)
    set_defaults()
    with unavailable_on_failure():
        from mlflow.tracking import MlflowClient

        # Two lines of information on each new database would stand among the lines of training.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        # And a line on each retry of a request, which is no news: the failure itself is told once.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        if is_sqlite(uri):
            _make_database(database_path(uri))
        return MlflowClient(tracking_uri=uri)


def _make_database(file: Path) -> None:
    """Makes MLflow's tables in a file of their own, unless it is there.

    MLflow makes them one after the other, and refuses for ever what a process leaves that is killed
    meanwhile, or two that do so at once.
    """
    from mlflow.tracking import MlflowClient

    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with new_file(file) as unfinished:
            MlflowClient(tracking_uri=f"sqlite:///{unfinished}")


def connect_to_existing(uri: str) -> "MlflowClient":
    """Returns a client as `connect` does, and makes no database where there is none.

    Args:
        uri: A resolved tracking URI.

    Raises:
        TrackingUnavailableError: Nothing answers there, or there is no such database.
    """
    if is_sqlite(uri) and not database_path(uri).is_file():
        raise TrackingUnavailableError(f"there is no database {database_path(uri)}")
    return connect(uri)
