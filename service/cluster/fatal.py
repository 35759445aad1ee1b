"""What Ray does after an error: end the run if a restart would meet it again, else say why."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ray.train import UserCallback

from service.cluster.driver_lock import TakenOverError
from service.config.errors import ConfigurationError, RunError
from service.config.failures import root_cause
from service.config.redaction import redact
from service.storage.atomic import whole_file
from service.storage.working_copy import bring, publish, withdraw

_FILE = "fatal.json"
_REASON = "restart.txt"


@contextmanager
def no_restart(folder: Path) -> Iterator[None]:
    """Keeps the text of such an error in the run's folder, where the driver finds it.

    Args:
        folder: The run's folder.
    """
    try:
        yield
    except TakenOverError:
        raise  # the folder is another driver's now
    except (ConfigurationError, RunError) as error:
        with whole_file(folder / _FILE) as unfinished:
            kind = "input" if isinstance(error, ConfigurationError) else "run"
            unfinished.write_text(json.dumps([kind, str(error)]), "utf-8")
        with suppress(OSError):  # where the store does not answer, the error itself has to do
            publish(folder / _FILE)
        raise


class AfterFailure(UserCallback):
    """Keeps Ray from starting the workers again after such an error, and notes other ones.

    Ray ends a run whose callback raises, whatever `cluster.max_failures` says.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:  # noqa: ANN401  # Ray's type is not public
        """Raises what `no_restart` kept, or notes why the workers will be started again.

        Raises:
            ConfigurationError: Something cannot be used.
            RunError: The run cannot go on.
            TakenOverError: Another driver goes on with it.
        """
        causes = {rank: root_cause(error) for rank, error in worker_exceptions.items()}
        for cause in causes.values():
            if isinstance(cause, TakenOverError):
                raise cause
        raise_kept(self._folder)
        rank = min(causes)
        text = redact(f"worker {rank}: {type(causes[rank]).__name__}: {causes[rank]}")
        with whole_file(self._folder / _REASON) as unfinished:
            unfinished.write_text(" ".join(text.split())[:300], "utf-8")
        with suppress(OSError):  # worth no more than a line
            publish(self._folder / _REASON)


def reason_of_restart(folder: Path) -> str | None:
    """Returns, once, why the workers were started again; None if nobody noted it."""
    try:
        bring(folder / _REASON)
        text = (folder / _REASON).read_text("utf-8")
        withdraw(folder / _REASON)
    except OSError:
        return None
    return text


def forget(folder: Path) -> None:
    """Forgets what ended the run before."""
    for name in (_FILE, _REASON):
        withdraw(folder / name)


def raise_kept(folder: Path) -> None:
    """Raises the error that `no_restart` kept, if any.

    Raises:
        ConfigurationError: Something cannot be used.
        RunError: The run cannot go on.
    """
    file = folder / _FILE
    with suppress(OSError):
        bring(file)
    if file.exists():
        kind, text = json.loads(file.read_text("utf-8"))
        raise ConfigurationError(text) if kind == "input" else RunError(text)
