"""Where it is trained: the loop's only view of the cluster, the tracker and the storage."""

from collections.abc import Mapping
from typing import Protocol

import torch

from service.training.checkpoint import CheckpointContent
from service.training.turn import Turn


class Worker(Protocol):
    """One of the processes that train together."""

    rank: int
    """Number of this worker, from 0."""
    world_size: int
    """Workers in all."""
    device: torch.device
    """Where the network lives."""
    cpus: int
    """Cores this worker may use."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records metrics of a step; costs microseconds. Only rank 0's are kept."""
        ...

    def attach(self, path: str, content: bytes) -> None:
        """Records a file of the run, such as a picture; only rank 0's are kept.

        It costs the writing of a file, and waits for no server. A file of the same path is
        replaced.

        Args:
            path: Relative path with slashes, such as evaluation/step_00001200/pictures.png.
            content: What it holds.

        Raises:
            ValueError: The path is absolute, climbs out, or holds characters that have a meaning in
                addresses.
            OSError: The file could not be written.
        """
        ...

    def warn(self, text: str) -> None:
        """Shows a line to the person who started the run. Only rank 0's are shown."""
        ...

    def save(self, step: int, checkpoint: CheckpointContent | None) -> None:
        """Hands a checkpoint over for writing; every worker calls it at the same steps.

        Args:
            step: Optimiser steps done.
            checkpoint: What to write, already off the device; rank 0's alone, others pass None.

        Raises:
            StorageError: The checkpoint before could not be written.
        """
        ...

    def latest_checkpoint(self) -> CheckpointContent | None:
        """Returns the newest undamaged checkpoint of the run, or None at its start."""
        ...

    def turn(self, step: int) -> Turn:
        """Returns how the run goes on after an evaluation; it may wait for the answer.

        Every worker calls it once the evaluation's checkpoint was handed over, except at the end of
        the run, and every worker gets the same answer.

        Args:
            step: Optimiser steps done.
        """
        ...

    def stop_requested(self) -> bool:
        """Tells whether the run was asked to end early; rank 0 alone is asked."""
        ...

    def save_requested(self) -> bool:
        """Tells whether a checkpoint is wanted soon, because a node will be taken away.

        Every worker calls it at the same steps; rank 0's answer holds.
        """
        ...

    def moved_on(self) -> None:
        """Tells that training made progress; costs microseconds. Who does not for long, hangs."""
        ...

    def finish(self) -> None:
        """Waits until everything handed over is safe.

        Raises:
            StorageError: The last checkpoint could not be written.
        """
        ...
