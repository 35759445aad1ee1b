"""Writing checkpoints while training goes on."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from service.training.checkpoint import CheckpointContent, write_checkpoint
from service.training.stored_checkpoints import upload

PATIENCE = (1.0, 4.0, 15.0)
"""Seconds before each further attempt: a file server that restarts is back by then."""


def _say_nothing(_text: str) -> None:
    pass


def always() -> None:
    """Lets everything happen."""


class CheckpointWriter:
    """Writes one checkpoint at a time in a thread of its own.

    One in a copy of an object store is then brought to the store. What the storage refuses is tried
    again. What fails for good is raised by the next call,
    once. As a context manager it waits at the end.

    Args:
        warn: Shows a line to the person who started the run; called in the thread.
        patience: Seconds to wait before each further attempt.
        may_write: Called before anything is written and again before the checkpoint appears; raises
            where neither may happen.
        written: Called in the thread once a checkpoint is there.
    """

    def __init__(
        self,
        warn: Callable[[str], None] = _say_nothing,
        patience: Sequence[float] = PATIENCE,
        may_write: Callable[[], None] = always,
        written: Callable[[], None] = always,
    ) -> None:
        self._warn = warn
        self._written = written
        self._may_write = may_write
        self._patience = patience
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._running: Future[None] | None = None

    def write(self, folder: Path, content: CheckpointContent) -> None:
        """Starts to write a checkpoint, after waiting for the one before.

        Args:
            folder: Where it shall be.
            content: Of a `Staging`, which nobody changes until it is written.

        Raises:
            Exception: What the write before raised; this one is then not started.
        """
        self.wait()
        self._running = self._thread.submit(self._write, folder, content)

    def wait(self) -> None:
        """Returns once the checkpoint handed over last is safe.

        Raises:
            Exception: What its write raised.
        """
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def _write(self, folder: Path, content: CheckpointContent) -> None:
        self._patiently(folder, lambda: self._attempt(folder, content))
        self._patiently(folder, lambda: self._upload(folder))
        self._written()

    def _patiently(self, folder: Path, attempt: Callable[[], None]) -> None:
        for seconds in self._patience:
            try:
                return attempt()
            except OSError as error:
                self._warn(
                    f"{folder}: not written ({error.strerror or error}); trying again in "
                    f"{seconds:g} s"
                )
                time.sleep(seconds)
        return attempt()

    def _attempt(self, folder: Path, content: CheckpointContent) -> None:
        self._may_write()
        write_checkpoint(folder, content, self._may_write)

    def _upload(self, folder: Path) -> None:
        self._may_write()
        upload(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()
