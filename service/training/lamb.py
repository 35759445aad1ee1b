"""LAMB whose step count lives on the device; the arithmetic is timm's."""

from typing import Any

import torch
from timm.optim.lamb import lamb
from torch import Tensor
from torch.optim import Optimizer


class LAMB(Optimizer):
    """LAMB (arXiv 1904.00962, algorithm 2) in the variant of timm's `Lamb`.

    timm's class counts its steps on the host. A step that the device decides to skip would be
    counted all the same, and the bias correction of every later step would be off. Here the count
    t is a tensor that is undone together with the moments. Unlike timm's class this one never clips
    the gradient; `training.clip_norm` does that. Parameters without weight decay take no trust
    ratio, as in timm.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        betas: Decay of the first and the second moment.
        eps: Added to the denominator.
    """

    def __init__(
        self,
        params: list[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        for group in self.param_groups:
            # In double, since 1 − β₂ at t = 1 would lose four digits in single precision.
            group["t"] = torch.zeros((), dtype=torch.float64)
            for parameter in group["params"]:
                self.state[parameter] = {
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        self._place_counts()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes a loaded state; torch has moved the moments to the device, but not the counts."""
        super().__setstate__(state)
        self._place_counts()

    def _place_counts(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"][:1]:
                group["t"] = group["t"].to(parameter.device)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # closures have no use here
        """Performs one step with the gradients at hand, without waiting for the device."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._step_group(group, parameters, [p.grad for p in parameters])

    def _step_group(
        self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]
    ) -> None:
        t = group["t"]
        t += 1
        beta1, beta2 = group["betas"]
        lamb(
            parameters,
            gradients,
            [self.state[p]["exp_avg"] for p in parameters],
            [self.state[p]["exp_avg_sq"] for p in parameters],
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            beta3=1 - beta1,
            bias_correction1=(1 - beta1**t).float(),
            bias_correction2=(1 - beta2**t).float(),
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled_decay=False,
            max_lr=None,
            trust_clip=False,
            always_adapt=False,
            caution=False,
        )
