"""One optimiser step, without waiting for the device."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Generic

import torch
from torch import Tensor, nn

from service.config.training import TrainingConfig
from service.training.guard import clip_gradients, non_finite
from service.training.meters import Meters
from service.training.seeding import seed_micro_batch
from service.training.state import TrainingState
from service.training.task import B, Task
from service.training.worker import Worker
from service.training.wrapping import autocast, reduction


class TrainingStep(Generic[B]):
    """Draws micro-batches, sums their gradients, updates the weights, and keeps the score.

    Attributes:
        meters: Means of the loss and other scalars since they were last read.
        data_seconds: Seconds the host waited for micro-batches since it was last set to 0.
    """

    def __init__(
        self,
        task: Task[B],
        model: nn.Module,
        state: TrainingState,
        worker: Worker,
        config: TrainingConfig,
    ) -> None:
        self.meters = Meters(worker.device)
        self.data_seconds = 0.0
        self._task = task
        self._model = model
        self._state = state
        self._worker = worker
        self._config = config
        self._parameters = list(state.model.parameters())

    def __call__(self, batches: Iterator[B]) -> None:
        """Performs the step at the state's position and moves it on.

        Args:
            batches: This worker's micro-batches from the state's position on.
        """
        state, config = self._state, self._config
        micro_batches = self._draw(batches)
        state.guard.remember()
        scored = []
        for index, batch in enumerate(micro_batches):
            number = self._worker.rank + index * self._worker.world_size
            seed_micro_batch(config.seed, state.step, number)
            last = index == len(micro_batches) - 1
            scored.append((self._backward(batch, last), len(batch)))
        state.scaler.unscale_(state.optimizer)
        norm = clip_gradients(self._parameters, config.clip_norm)
        found_inf = non_finite(norm)
        state.guard.step(found_inf)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        if state.average is not None:
            state.average.update(state.step, found_inf)
        kept = found_inf == 0
        for scalars, samples in scored:
            self.meters.add({**scalars, "grad_norm": norm}, samples, kept)
        state.step += 1

    def _draw(self, batches: Iterator[B]) -> list[B]:
        start = time.perf_counter()
        drawn = [
            batch.to(self._worker.device) for batch in islice(batches, self._config.accumulation)
        ]
        self.data_seconds += time.perf_counter() - start
        return drawn

    def _backward(self, batch: B, last: bool) -> dict[str, Tensor]:
        """Adds a micro-batch's share of the step's gradient and returns its scalars."""
        # DDP takes the mean over workers. With this weight the result is the mean over the global
        # batch also where workers or micro-batches differ by a sample.
        weight = len(batch) * self._worker.world_size / self._config.batch_size
        with reduction(self._model, reduce=last):
            with autocast(self._worker.device, self._config):
                loss, scalars = self._task.loss(self._model, batch)
            # A loss may be infinite where its gradient is not. NaN gradients tell all ranks.
            finite = torch.where(loss.detach().isfinite(), 1.0, torch.nan)
            self._state.scaler.scale(loss * (weight * finite)).backward()  # type: ignore[no-untyped-call]
        return {"loss": loss, **scalars}
