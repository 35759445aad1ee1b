"""An exponential moving average of the weights (EMA), updated without waiting for the device."""

import copy

import torch
from torch import Tensor, nn

from service.config.optimization import AveragingConfig
from service.training.selection import by_type, copy_where


class MovingAverage:
    """Keeps an average of a network's weights beside it.

    An update moves the average e towards the weights w by e ← d·e + (1 − d)·w. With warm-up, d is
    the smaller of `decay` and (1 + n) / (10 + n) after n updates. With `every` above 1, d stays as
    configured: an average updated every k steps reaches k times as far back.

    Buffers follow the same rule where they are floating point, since the running statistics of
    batch normalisation belong to the weights that they were measured with; timm's `ModelEmaV3` and
    torchvision's `ExponentialMovingAverage` do so too. Integers, such as the count of batches, are
    copied, as in timm (torchvision averages and truncates them). Buffers that no state dict holds
    are configuration, such as a regulariser's strength: `follow` copies them.

    torch's own `AveragedModel` asks the device at every update whether it is the first.

    Attributes:
        module: The averaged network, in evaluation mode.
        updates: Updates so far, n; an int64 scalar on the device.

    Args:
        model: The bare network, on its device, in its memory order and with its first weights.
        config: Decay, warm-up and interval.
    """

    def __init__(self, model: nn.Module, config: AveragingConfig) -> None:
        self._config = config
        self.module = copy.deepcopy(model).requires_grad_(False).eval()
        device = next(model.parameters()).device
        self.updates = torch.zeros((), dtype=torch.int64, device=device)
        own, configured = _divided(self.module)
        source, followed = _divided(model)
        self._pairs = list(zip(by_type(own), by_type(source), strict=True))
        self._configured = list(zip(configured, followed, strict=True))

    @torch.no_grad()
    def update(self, step: int, found_inf: Tensor) -> None:
        """Moves the average after a step, unless the interval says later or the step was skipped.

        Args:
            step: Steps of the run before this one, skipped or not; it decides about the interval.
            found_inf: 1.0 if the step was skipped, else 0.0; a float32 scalar on the device.
        """
        if (step + 1) % self._config.every:
            return
        taken = 1 - found_inf
        weight = taken * self._weight()
        for own, source in self._pairs:
            if own[0].is_floating_point():
                torch._foreach_lerp_(own, source, [weight.to(own[0].dtype)] * len(own))
            else:
                copy_where(taken, own, source)
        self.updates += taken.to(torch.int64)

    @torch.no_grad()
    def follow(self) -> None:
        """Takes over what is configured in the network beside its weights; for an evaluation."""
        for own, source in self._configured:
            own.copy_(source)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the count of updates; the weights are `module.state_dict()`."""
        return {"updates": self.updates}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the count of updates."""
        self.updates.copy_(state["updates"])

    def _weight(self) -> Tensor | float:
        """Returns 1 − d, formed without the subtraction that would cost single precision digits."""
        least = 1 - self._config.decay
        if not self._config.warm_up:
            return least
        return (9 / (10 + self.updates)).clamp(min=least)


def _divided(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Returns what a state dict of the network holds, and the buffers that it does not hold."""
    saved = model.state_dict()
    buffers = dict(model.named_buffers())
    held = [*model.parameters(), *(buffers[name] for name in buffers if name in saved)]
    return held, [buffers[name] for name in buffers if name not in saved]
