"""Everything a run carries from step to step."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from service.config.errors import ConfigurationError
from service.config.optimization import OptimizerChoice
from service.config.training import TrainingConfig
from service.training.averaging import MovingAverage
from service.training.checkpoint import CheckpointContent
from service.training.guard import GuardedStep
from service.training.optimizers import apply_configuration, build_optimizer
from service.training.staging import Staging
from service.training.wrapping import prepare


class TrainingState:
    """Network, optimiser, average, loss scale, counts and position.

    Attributes:
        model: The network as it is saved: neither compiled nor wrapped.
        optimizer: Its optimiser.
        guard: Performs or skips optimiser steps.
        scaler: Loss scale; does nothing unless the precision is fp16.
        average: Moving average of the weights, or None.
        step: Optimiser steps done.
        best: Best value so far of the metric that retention compares, or None.

    Args:
        model: The network on its device.
        optimizer: Which optimiser.
        config: How it is trained.
        factors: Factor of the learning rate by the beginning of a parameter's name.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: OptimizerChoice,
        config: TrainingConfig,
        factors: Mapping[str, float],
    ) -> None:
        self.model = prepare(model, config)
        self.optimizer = build_optimizer(self.model, optimizer, config.batch_size, factors)
        self.guard = GuardedStep(self.optimizer, self.model)
        device = next(self.model.parameters()).device
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.average = MovingAverage(self.model, config.average) if config.average.enabled else None
        self.step = 0
        self.best: float | None = None
        self._batch_size = config.batch_size
        self._factors = factors
        self._staging = Staging()

    @property
    def position(self) -> int:
        """Samples that the run has seen, over all workers."""
        return self.step * self._batch_size

    def content(
        self,
        task_state: dict[str, Any],
        metadata: dict[str, Any],
        config_yaml: str,
        metrics: dict[str, float],
    ) -> CheckpointContent:
        """Returns a copy of everything, off the device, that later steps do not change.

        The next call writes over it.

        Args:
            task_state: What the task wants kept.
            metadata: What using the model later needs.
            config_yaml: The resolved configuration.
            metrics: Figures of this moment.
        """
        state = {
            "position": self.position,
            "batch_size": self._batch_size,
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "guard": self.guard.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.state_dict() if self.average else {},
            "task": task_state,
        }
        return self._staging.snapshot(
            CheckpointContent(
                model=self.model.state_dict(),
                ema=self.average.module.state_dict() if self.average else None,
                state=state,
                config_yaml=config_yaml,
                metrics=metrics,
                metadata=metadata,
            )
        )

    def restore(self, content: CheckpointContent, optimizer: OptimizerChoice) -> Mapping[str, Any]:
        """Continues from a checkpoint, in place, and returns what the task had kept.

        Args:
            content: The checkpoint.
            optimizer: Values for the optimiser; those in the checkpoint may be of another run.

        Raises:
            ConfigurationError: The checkpoint is of another model, batch size or average.
        """
        state = content.state
        if state["batch_size"] != self._batch_size:
            raise ConfigurationError(
                f"training.batch_size: the run began with {state['batch_size']}, and its position "
                f"is counted in such batches (got {self._batch_size}); resume with the same"
            )
        _load(self.model, content.model)
        if (self.average is None) != (content.ema is None):
            raise ConfigurationError(
                "training.average.enabled: the checkpoint was written with the other value; "
                "resume with the same"
            )
        if self.average is not None and content.ema is not None:
            _load(self.average.module, content.ema)
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        apply_configuration(self.optimizer, self.model, optimizer, self._batch_size, self._factors)
        self.guard.load_state_dict(state["guard"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.step = state["position"] // self._batch_size
        self.best = state["best"]
        task_state: Mapping[str, Any] = state["task"]
        return task_state


def _load(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(f"the checkpoint is of another model: {reason}") from None
