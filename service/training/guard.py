"""Skipping a step whose loss or gradient is not finite, decided on the device.

The order of one optimiser step:

    guard.remember()
    scaler.scale(loss).backward()      # once for each micro-batch
    scaler.unscale_(optimizer)
    norm = clip_gradients(parameters, clip_norm)
    found_inf = non_finite(norm, loss)
    guard.step(found_inf)
    scaler.update()
    average.update(step, found_inf)

`scaler` is a `torch.amp.GradScaler`, enabled for fp16 only: disabled, its methods change nothing.
Its `unscale_` records on the device whether a gradient overflowed and its `update` moves the scale
by that; its `step` is not used, because the guard's decision also knows the loss and the norm.
"""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from service.training.selection import bits, by_type, copy_bits_where, copy_where


def clip_gradients(parameters: Sequence[Tensor], clip_norm: float | None) -> Tensor:
    """Returns the norm of all gradients, a scalar on their device, and clips them by it.

    Args:
        parameters: Those whose gradients count; at least one has a gradient.
        clip_norm: Largest norm; None only measures.
    """
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    if clip_norm is not None:
        clip_grads_with_norm_(parameters, clip_norm, norm)
    return norm


def non_finite(*values: Tensor) -> Tensor:
    """Returns 1.0 where any of the values is infinite or NaN and 0.0 otherwise, on their device.

    Args:
        values: Scalars on one device. A gradient's norm is the same on all ranks; a loss has to be
            made so by the caller.
    """
    return (~torch.stack([value.detach().float() for value in values]).isfinite().all()).float()


class GuardedStep:
    """Performs optimiser steps that the device may undo, and counts those.

    A skipped step leaves parameters, optimiser state and the model's buffers (running statistics of
    batch normalisation, which the forward pass has already moved) with the bits they had.

    Attributes:
        skipped: Steps skipped so far; an int64 scalar on the device.
        skipped_in_row: Steps skipped since the last one that was not.

    Args:
        optimizer: From `build_optimizer`.
        model: The bare network, on its device and in its memory order.
    """

    def __init__(self, optimizer: Optimizer, model: nn.Module) -> None:
        self._optimizer = optimizer
        self._fused = all(group.get("fused") for group in optimizer.param_groups)
        self._buffers = by_type(model.buffers())
        self._remembered = [[torch.empty_like(b) for b in buffers] for buffers in self._buffers]
        self._bits, self._remembered_bits = (
            by_type(bits(chain.from_iterable(groups)))
            for groups in (self._buffers, self._remembered)
        )
        device = next(model.parameters()).device
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.skipped_in_row = torch.zeros((), dtype=torch.int64, device=device)

    @torch.no_grad()
    def remember(self) -> None:
        """Keeps a copy of the model's buffers; call it before the first forward pass of a step."""
        for remembered, buffers in zip(self._remembered, self._buffers, strict=True):
            torch._foreach_copy_(remembered, buffers)

    @torch.no_grad()
    def step(self, found_inf: Tensor) -> None:
        """Performs the optimiser's step, or skips it.

        Args:
            found_inf: 1.0 to skip the step and 0.0 to perform it; a float32 scalar on the device.
        """
        if self._fused:
            self._step_fused(found_inf)
        else:
            self._step_and_undo(found_inf)
        copy_bits_where(found_inf, self._bits, self._remembered_bits)
        skipped = found_inf.to(torch.int64)
        self.skipped += skipped
        self.skipped_in_row += 1
        self.skipped_in_row *= skipped

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the counts."""
        return {"skipped": self.skipped, "skipped_in_row": self.skipped_in_row}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the counts."""
        self.skipped.copy_(state["skipped"])
        self.skipped_in_row.copy_(state["skipped_in_row"])

    def _step_fused(self, found_inf: Tensor) -> None:
        """Lets the kernel look at `found_inf`; torch.amp.GradScaler hands it over the same way."""
        optimizer = self._optimizer
        optimizer.grad_scale = None  # type: ignore[attr-defined]  # fused optimisers read these two
        optimizer.found_inf = found_inf  # type: ignore[attr-defined]
        optimizer.step()
        del optimizer.grad_scale, optimizer.found_inf  # type: ignore[attr-defined]

    def _step_and_undo(self, found_inf: Tensor) -> None:
        tensors = _everything_moved_by(self._optimizer)
        before = [tensor.detach().clone() for tensor in tensors]
        self._optimizer.step()
        copy_where(found_inf, tensors, before)


def _everything_moved_by(optimizer: Optimizer) -> list[Tensor]:
    """Returns the parameters, their state and the counters of the groups."""
    tensors: list[Tensor] = []
    for group in optimizer.param_groups:
        tensors += group["params"]
        tensors += [value for value in group.values() if isinstance(value, Tensor)]
    for state in optimizer.state.values():
        tensors += [value for value in state.values() if isinstance(value, Tensor)]
    return tensors
