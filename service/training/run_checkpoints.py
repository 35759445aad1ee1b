"""The checkpoints of a training that goes on: written beside it and pruned."""

from collections.abc import Callable, Sequence
from pathlib import Path

from service.config.errors import RunError
from service.config.training import CheckpointConfig
from service.training.checkpoint import CheckpointContent
from service.training.checkpoint_writer import PATIENCE, CheckpointWriter, always
from service.training.retention import checkpoint_folder, keep_best_and_last
from service.training.stored_checkpoints import discard


class StorageError(RunError):
    """The storage takes no checkpoint, or no metrics."""


class RunCheckpoints:
    """Writes a run's checkpoints; one process of a run does.

    Args:
        folder: The run's folder.
        retention: Which checkpoints are kept.
        warn: Shows a line to the person who started the run; called from another thread.
        may_write: Raises where the run is no longer this process's; called from another thread.
        patience: Seconds to wait before each further attempt to write.
    """

    def __init__(
        self,
        folder: Path,
        retention: CheckpointConfig,
        warn: Callable[[str], None],
        may_write: Callable[[], None] = always,
        patience: Sequence[float] = PATIENCE,
    ) -> None:
        self._folder = folder
        self._retention = retention
        self._may_write = may_write
        self._warn = warn
        self._writer = CheckpointWriter(warn, patience, may_write, self._prune)
        self._last: Path | None = None

    def write(self, step: int, content: CheckpointContent) -> None:
        """Starts to write a checkpoint; once it is there, those that retention gives up go.

        Args:
            step: Optimiser steps done.
            content: Of a `Staging`, which nobody changes until it is written.

        Raises:
            StorageError: The checkpoint before could not be written.
        """
        self.wait()
        self._last = checkpoint_folder(self._folder, step)
        self._writer.write(self._last, content)

    def wait(self) -> None:
        """Returns once the checkpoint handed over last is safe.

        Raises:
            StorageError: It could not be written.
        """
        try:
            self._writer.wait()
            self._may_write()
        except OSError as error:
            raise StorageError(
                f"{self._last}: the checkpoint could not be written ({error.strerror or error}); "
                "free or repair the storage, then go on with --resume"
            ) from error

    def _prune(self) -> None:
        """Runs beside training too: to delete a large checkpoint takes a tenth of a second."""
        try:
            self._may_write()
        except OSError as error:
            self._warn(f"{self._folder}: no old checkpoint deleted ({error.strerror or error})")
            return
        retention = self._retention
        given_up = keep_best_and_last(
            self._folder, retention.metric, retention.mode, retention.keep
        )
        for folder in given_up:
            # A run that went on from another's checkpoint may have some with more steps than its
            # newest.
            if folder != self._last:
                try:
                    discard(folder)
                except OSError as error:
                    self._warn(f"{folder}: not deleted ({error.strerror or error})")
