"""Ends a worker that hangs, after it has written where.

The interpreter writes the stacks of all threads once training stood still for
`cluster.collective_timeout`. A worker that waits for another one meets the time-out of its
collective operation a little later; one that hangs elsewhere, in a file server for example, ends
itself. Ray then starts all of them again.
"""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from service.cluster.job import Job
from service.storage.working_copy import publish

logger = logging.getLogger(__name__)

MARGIN = 10.0
"""Seconds between the stacks and the end: by then every worker has written its own."""

STACKS = "stacks"
"""Folder of a run's folder for what workers wrote while they hung."""

_LAST_WORDS = 5.0  # seconds
_EXIT_STATUS = 70  # EX_SOFTWARE


def stack_files(folder: Path) -> list[Path]:
    """Returns what the workers of a run wrote while they hung, in order of their ranks."""
    return sorted(path for path in (folder / STACKS).glob("worker_*.txt") if path.stat().st_size)


class Watchdog:
    """Watches whether this process's training moves on; as a context manager, until its end.

    Args:
        job: The run; `cluster.collective_timeout` is the time it may stand still.
        rank: This worker.
    """

    def __init__(self, job: Job, rank: int) -> None:
        self._timeout = job.config.cluster.collective_timeout
        self._path = job.folder / STACKS / f"worker_{rank:05d}.txt"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Kept open: the interpreter writes to it when nothing else works any more. What hung
        # before a restart stays.
        self._file = self._path.open("a", encoding="utf-8")
        self._moved_at = self._armed_at = -self._timeout
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def moved_on(self) -> None:
        """Begins to count from now."""
        self._moved_at = time.monotonic()
        # Each call of the interpreter's starts a thread.
        if self._moved_at - self._armed_at > min(1.0, self._timeout / 20):
            self._armed_at = self._moved_at
            faulthandler.dump_traceback_later(self._timeout, file=self._file)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Does not count while somebody else is waited for on purpose."""
        faulthandler.cancel_dump_traceback_later()
        self._moved_at = float("inf")
        try:
            yield
        finally:
            self._armed_at = -self._timeout
            self.moved_on()

    def __enter__(self) -> Self:
        self.moved_on()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        self._file.close()
        if not self._path.stat().st_size:
            self._path.unlink()
            with suppress(OSError):  # another worker's is in it
                self._path.parent.rmdir()
        else:
            self._publish()

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, self._timeout / 20)):
            if time.monotonic() - self._moved_at > self._timeout + MARGIN:
                publishing = threading.Thread(target=self._publish, daemon=True)
                publishing.start()
                publishing.join(_LAST_WORDS)
                os._exit(_EXIT_STATUS)

    def _publish(self) -> None:
        """Lets other machines see what was written, where they do not share the folder."""
        try:
            publish(self._path)
        except OSError as error:
            logger.warning("%s stays on this machine: %s", self._path, error)
