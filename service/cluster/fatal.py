"""Errors that a restart would only repeat: the run ends with them at the first time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.config.errors import ConfigurationError
from service.data.atomic import whole_file
from service.training.loop import NonFiniteError

_KINDS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (ConfigurationError, NonFiniteError)
}
_FILE = "fatal.json"


@contextmanager
def no_restart(folder: Path) -> Iterator[None]:
    """Keeps such an error in the run's folder instead of raising it, so that Ray sees no failure.

    All workers of a run meet these errors together: they come from what all of them share.

    Args:
        folder: The run's folder.
    """
    try:
        yield
    except tuple(_KINDS.values()) as error:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / _FILE) as unfinished:
            unfinished.write_text(json.dumps([type(error).__name__, str(error)]), "utf-8")


def forget(folder: Path) -> None:
    """Forgets what ended the run before."""
    (folder / _FILE).unlink(missing_ok=True)


def raise_kept(folder: Path) -> None:
    """Raises the error that `no_restart` kept, if any.

    Raises:
        ConfigurationError: Something cannot be used.
        NonFiniteError: Loss or gradients stayed without finite values.
    """
    file = folder / _FILE
    if file.exists():
        kind, text = json.loads(file.read_text("utf-8"))
        raise _KINDS[kind](text)
