"""ShakeDrop as public ports of it are formulated, to compare with.

They wait for the device in both passes, to see whether the gate is open, and draw α and β in fp32
for each image. Written anew from that description.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from service.models.merge import Merge


class PortedShakeDrop(nn.Module):
    """ShakeDrop at level `image`, with one gate for the batch.

    Args:
        p: Probability that the gate is open.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, branch: Tensor) -> Tensor:
        """Returns the branch times its coefficient."""
        if not self.training:
            return branch * self.p
        shaken: Tensor = _Port.apply(branch, self.p)
        return shaken


class PortedMerge(Merge):
    """The shortcut plus the unit's output, not in place: the port may return its very input.

    Args:
        p: Probability that the gate is open.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.unit = PortedShakeDrop(p)

    def forward(self, branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
        """Returns the output of a block with one branch."""
        (branch,) = branches
        disturbed: Tensor = self.unit(branch)
        return disturbed + shortcut


class _Port(torch.autograd.Function):
    """A gate that the host reads, α forwards, β backwards."""

    @staticmethod
    def forward(ctx: Any, branch: Tensor, p: float) -> Tensor:  # noqa: ANN401
        gate = torch.empty(1, device=branch.device).bernoulli_(p)
        ctx.save_for_backward(gate)
        if gate.item() == 0:
            return _per_image(branch).uniform_(-1, 1).expand_as(branch) * branch
        return branch

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        (gate,) = ctx.saved_tensors
        if gate.item() == 0:
            return _per_image(gradient).uniform_(0, 1).expand_as(gradient) * gradient, None
        return gradient, None


def _per_image(values: Tensor) -> Tensor:
    return torch.empty(len(values), *(1 for _ in values.shape[1:]), device=values.device)
