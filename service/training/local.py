"""A run in one process: for debugging, notebooks, profiling, and machines without Ray."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from service.config.training import CheckpointConfig
from service.training.checkpoint import CheckpointContent, newest_valid, read_stored
from service.training.checkpoint_writer import always
from service.training.retention import checkpoint_folders
from service.training.run_checkpoints import RunCheckpoints
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
        may_write: Raises where the run is no longer this process's.
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
        may_write: Callable[[], None] = always,
    ) -> None:
        self.device = device
        self.cpus = cpus
        self.log = log
        self.attach = attach
        self.warn = warn
        self.stop_requested = stop_requested
        self._folder = folder
        self._checkpoints = RunCheckpoints(folder, retention, warn, may_write)

    def save(self, step: int, checkpoint: CheckpointContent | None) -> None:
        """Starts writing a checkpoint and deletes those that retention gives up."""
        if checkpoint is not None:
            self._checkpoints.write(step, checkpoint)

    def latest_checkpoint(self) -> CheckpointContent | None:
        """Returns the newest undamaged checkpoint of the run, or None at its start."""
        content, complaints = newest_valid(checkpoint_folders(self._folder), read_stored)
        for complaint in complaints:
            self.warn(f"{complaint}; using the checkpoint before it")
        return content

    def turn(self, step: int) -> Turn:
        """Goes on: nobody steers a run in one process."""
        return "go_on"

    def save_requested(self) -> bool:
        """Asks for nothing: nobody takes this process's node away."""
        return False

    def moved_on(self) -> None:
        """Does nothing: nobody waits for this process."""

    def finish(self) -> None:
        """Waits until the last checkpoint is written."""
        self._checkpoints.wait()
