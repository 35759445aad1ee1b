"""RandomDrop: regularisation of residual networks by leaving out their branches.

What it does. Each residual block x + F(x) gets a gate b ~ Bernoulli(p), one for a mini-batch. A
closed gate (b = 0) leaves the block as its shortcut, in both passes.

    training, both passes    b F(x)       no division by p
    evaluation, both         p F(x)       no draws

Source. Deep Networks with Stochastic Depth, arXiv 1603.09382, section 3. It is ShakeDrop with
α = β = 0.

Effect. CIFAR-10, ResNet-110: 6.41 % error without it, 5.23 % with it (the same paper).

Cost. One random number; nothing kept for the backward pass but the gate. A pass over the gradient
of the branch, on a CPU only where the gate is closed. The branch is computed even then: to skip it,
the host would have to wait for the device, and DDP for gradients that never come.

Defaults. p falls linearly with depth to P_L = 0.5 (`linear_decay`), as in the paper.

Where. At the end of the branch, before the addition, in every residual block. Not defined without a
shortcut: a closed gate would end the signal.

A block of a network that is not ours needs two lines:

    self.random_drop = RandomDrop(linear_decay(block, blocks, p_l=0.5))
    y = self.random_drop(branch, shortcut)
"""

import torch
from torch import Tensor, nn

from service.regularization.checks import checked_probability
from service.regularization.draws import uniform
from service.regularization.scaling import added, known_open, scaled_both_passes


class RandomDrop(nn.Module):
    """Multiplies a residual branch and its gradient by b ~ Bernoulli(p), in evaluation by p.

    The strength is the buffer `p`. It may be changed in place between steps without recompiling:
    `unit.p.fill_(0.7)`. It is configuration, not a weight, so a state dict does not hold it.

    Args:
        p: Probability that the gate is open, in [0, 1]; 1 is the identity.

    Raises:
        ValueError: p is outside [0, 1].
    """

    p: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        # Not persistent: torchvision's state dicts must keep loading strictly.
        self.register_buffer("p", torch.tensor(checked_probability("p", p)), persistent=False)

    def forward(self, branch: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Returns the branch times its coefficient, plus the shortcut.

        Args:
            branch: F(x), of any shape and floating type. Given a shortcut, it may be overwritten.
            shortcut: What is added in the same pass, of the branch's shape; None for nothing.

        Returns:
            A tensor of the branch's shape and type, which may be added to in place if the branch
            may: on a CPU it is the branch itself where the gate is open.
        """
        if not self.training:
            return added(branch * self.p, shortcut)
        gate = uniform(branch, "batch") < self.p
        if known_open(gate):
            return added(branch, shortcut)
        return scaled_both_passes(branch, shortcut, gate, None)
