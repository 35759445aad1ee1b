"""A run in one process: for debugging, notebooks, profiling, and machines without Ray."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from service.config.training import CheckpointConfig
from service.training.checkpoint import CheckpointContent, newest_valid, remove_checkpoint
from service.training.checkpoint_writer import CheckpointWriter
from service.training.retention import (
    checkpoint_folder,
    checkpoint_folders,
    keep_best_and_last,
)
from service.training.turn import Turn


class LocalWorker:
    """The only worker of a run; see `service.training.worker.Worker`.

    Args:
        folder: The run's folder.
        device: Where the network lives.
        cpus: Cores to use.
        retention: Which checkpoints are kept.
        log: Records metrics of a step.
        attach: Records a file of the run.
        warn: Shows a line to the person who started the run.
        stop_requested: Tells whether the run shall end early.
    """

    rank = 0
    world_size = 1

    def __init__(
        self,
        folder: Path,
        device: torch.device,
        cpus: int,
        retention: CheckpointConfig,
        log: Callable[[int, Mapping[str, float]], None],
        attach: Callable[[str, bytes], None],
        warn: Callable[[str], None],
        stop_requested: Callable[[], bool],
    ) -> None:
        self.device = device
        self.cpus = cpus
        self.log = log
        self.attach = attach
        self.warn = warn
        self.stop_requested = stop_requested
        self._folder = folder
        self._retention = retention
        self._writer = CheckpointWriter()

    def report(
        self, step: int, metrics: Mapping[str, float], checkpoint: CheckpointContent | None
    ) -> None:
        """Starts writing a checkpoint and deletes those that retention gives up."""
        if checkpoint is None:
            return
        self._writer.wait()
        self._prune()
        self._writer.write(checkpoint_folder(self._folder, step), checkpoint)

    def latest_checkpoint(self) -> CheckpointContent | None:
        """Returns the newest undamaged checkpoint of the run, or None at its start."""
        content, complaints = newest_valid(checkpoint_folders(self._folder))
        for complaint in complaints:
            self.warn(f"{complaint}; using the checkpoint before it")
        return content

    def turn(self, step: int) -> Turn:
        """Goes on: nobody steers a run in one process."""
        return "go_on"

    def finish(self) -> None:
        """Waits until the last checkpoint is written."""
        self._writer.wait()
        self._prune()

    def _prune(self) -> None:
        retention = self._retention
        for folder in keep_best_and_last(
            self._folder, retention.metric, retention.mode, retention.keep
        ):
            remove_checkpoint(folder)
