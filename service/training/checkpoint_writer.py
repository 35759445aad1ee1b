"""Writing checkpoints while training goes on."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from service.training.checkpoint import CheckpointContent, write_checkpoint


class CheckpointWriter:
    """Writes one checkpoint at a time in a thread of its own.

    An error of a write is raised by the next call, once. As a context manager it waits at the end.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._running: Future[None] | None = None

    def write(self, folder: Path, content: CheckpointContent) -> None:
        """Starts to write a checkpoint, after waiting for the one before.

        Args:
            folder: Where it shall be.
            content: A `snapshot`, which nobody else changes.

        Raises:
            Exception: What the write before raised; this one is then not started.
        """
        self.wait()
        self._running = self._thread.submit(write_checkpoint, folder, content)

    def wait(self) -> None:
        """Returns once the checkpoint handed over last is safe.

        Raises:
            Exception: What its write raised.
        """
        running, self._running = self._running, None
        if running is not None:
            running.result()

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
