"""What is trained: the loop's only view of models, data and losses."""

from collections.abc import Generator, Mapping
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from service.training.length import RunLength


class Batch(Protocol):
    """Samples on their way to the device."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> Self:
        """Returns the batch on `device`; the copy need not have ended."""
        ...


B = TypeVar("B", bound=Batch)


class Task(Protocol[B]):
    """A model with its data, loss and evaluation, as one worker sees it."""

    model: nn.Module
    """The network on the worker's device, as it is saved: neither compiled nor wrapped."""

    samples_per_epoch: int
    """Training samples of an epoch, over all workers."""

    learning_rate_factors: Mapping[str, float]
    """Factor of the learning rate for parameters whose name begins so; often none."""

    def train_batches(self, position: int) -> Generator[B, None, None]:
        """Yields this worker's micro-batches for ever, from the step that starts at `position`.

        Closing it ends what it started, such as loading processes.

        Args:
            position: Samples that the run has seen, over all workers.
        """
        ...

    def change(self, config: Any) -> None:  # noqa: ANN401  # each task has its own configuration
        """Takes over another configuration between two steps, in place.

        No parameter or buffer is replaced, since what was compiled and wrapped refers to them. What
        `train_batches` yields at a position stays the same.

        Args:
            config: The whole configuration, resolved.

        Raises:
            ConfigurationError: It differs in what cannot change in a running training.
        """
        ...

    def begin_step(self, step: int, length: RunLength) -> None:
        """Sets what changes with time, such as a regulariser's strength, without waiting.

        Args:
            step: Optimiser steps done.
            length: Length of the run.
        """
        ...

    def loss(self, model: nn.Module, batch: B) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Returns the mean loss of a micro-batch, and scalars to log, all on the device.

        Args:
            model: The network as the loop wrapped it (DDP, compiled).
            batch: A micro-batch on the device.
        """
        ...

    def counts(self) -> dict[str, float]:
        """Returns what was counted since the start of the run, over all workers; often nothing.

        All workers call it together, whenever they log and before each checkpoint, and get the
        same.

        Raises:
            RunError: By these counts the run cannot go on.
        """
        ...

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Evaluates on all workers together and returns the same figures on each.

        Args:
            model: The network or its average, in evaluation mode.
        """
        ...

    def metadata(self) -> dict[str, Any]:
        """Returns what using the model later needs: class names, preprocessing."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns what the position does not determine; often nothing."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        ...
