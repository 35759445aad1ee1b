"""ShakeDrop: regularisation of residual networks by disturbing their branches.

What it does. Each residual block x + F(x) gets a gate b ~ Bernoulli(p). An open gate (b = 1) passes
the branch unchanged. A closed one multiplies F(x) by α in the forward pass and its gradient by
another draw β in the backward pass, so the gradient is deliberately not that of the loss.

    training, forward    (b + α − bα) F(x)          α ~ U[α_low, α_high]
    training, backward   (b + β − bβ) ∂/∂F          the same b; β ~ U[β_low, β_high]
    evaluation, both     (p + (1 − p) E[α]) F(x)    no draws

Source. ShakeDrop Regularization for Deep Residual Learning, arXiv 1802.02375: its definition of
train-fwd, train-bwd and test; and its authors' code, which draws one b for a mini-batch and one α
and one β for every value (level `pixel`, gate `batch`).

Effect. CIFAR-100, PyramidNet-110 α270: 18.01 % error without it, 15.78 % with it (the same paper).

Cost. No parameters, no wait for the device, and nothing kept for the backward pass but a few
numbers. The shortcut is added in the pass that scales. On a CPU an open gate costs nothing; a
closed one costs a pass over the gradient of the branch and some twenty operations on few numbers
(at levels `channel` and `pixel` sixty), and at level `pixel` a few nanoseconds a value to draw.
Compiled, the draws are part of the passes that are there anyway.
`python pipelines/benchmark.py regularizers` measures it on your machine. Not measured on a GPU.

Defaults. α ∈ [−1, 1], β ∈ [0, 1] for branches that end with batch normalisation (EraseReLU
networks, PyramidNet); α = 0, β ∈ [0, 1] for networks that keep the ReLU after the addition. p falls
linearly with depth to P_L = 0.5 (`linear_decay`). All are the paper's.

Where. After the branch's last batch normalisation, before the addition, in every residual block. A
branch without a final batch normalisation should get one, or training may diverge. Two branches:
one unit after their sum (Type A), or one for each (Type B). Not defined without a shortcut: a
negative α would turn the whole signal around.

A block of a network that is not ours needs two lines:

    self.shakedrop = ShakeDrop(linear_decay(block, blocks, p_l=0.5))
    y = self.shakedrop(branch, shortcut)
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from service.regularization.checks import checked_choice, checked_probability
from service.regularization.draws import two_uniform, uniform
from service.regularization.keyed_draws import draw_keys
from service.regularization.scaling import added, drawn_both_passes, known_open, scaled_both_passes

Level = Literal["batch", "image", "channel", "pixel"]
Gate = Literal["batch", "sample"]

_FEW = frozenset({"batch", "image"})
"""Levels with so few draws that those of the backward pass wait for it in memory."""


class ShakeDrop(nn.Module):
    """Multiplies a residual branch by b + α − bα, and its gradient by b + β − bβ.

    The strengths are the buffers `p`, `alpha` and `beta`; the last two hold (low, high). They may
    be changed in place between steps without recompiling: `unit.p.fill_(0.7)`. They are
    configuration, not weights, so a state dict does not hold them.

    Draws come from the default generator of the branch's device, in the forward pass: b, and at
    levels `batch` and `image` α and β; at the others, which have many, a key that α and, in the
    backward pass, β are computed from, so that no β waits in memory between the two. There a GPU
    without compilation draws α and β themselves instead, β in the backward pass, and a second
    backward pass through the same graph has the same b but may have another β.

    Args:
        p: Probability that the gate is open, in [0, 1]; 1 is the identity.
        alpha: Range of α, (low, high); (0, 0) for both ranges is `RandomDrop`.
        beta: Range of β, (low, high).
        level: Shape of α and β for a branch (N, C, ...): one draw for the batch, for each image
            (N), for each channel of each image (N, C), or for each value.
        gate: Shape of b: one draw for the batch, or one for each sample (N).

    Raises:
        ValueError: p outside [0, 1], an empty or infinite range, an unknown level or gate.
    """

    p: Tensor
    alpha: Tensor
    beta: Tensor

    def __init__(
        self,
        p: float,
        alpha: tuple[float, float] = (-1.0, 1.0),
        beta: tuple[float, float] = (0.0, 1.0),
        level: Level = "pixel",
        gate: Gate = "batch",
    ) -> None:
        super().__init__()
        self.level = checked_choice("level", level, get_args(Level))
        self.gate = checked_choice("gate", gate, get_args(Gate))
        # Not persistent: torchvision's state dicts must keep loading strictly.
        self.register_buffer("p", torch.tensor(checked_probability("p", p)), persistent=False)
        self.register_buffer("alpha", _interval("alpha", alpha), persistent=False)
        self.register_buffer("beta", _interval("beta", beta), persistent=False)

    def forward(self, branch: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Returns the branch times its coefficient, plus the shortcut.

        Args:
            branch: F(x), of shape (N, C, ...) and any floating type. Given a shortcut, it may be
                overwritten.
            shortcut: What is added in the same pass, of the branch's shape; None for nothing.

        Returns:
            A tensor of the branch's shape and type, which may be added to in place if the branch
            may: on a CPU it is the branch itself where all gates are open.
        """
        if not self.training:
            return added(branch * (self.p + (1 - self.p) * self.alpha.mean()), shortcut)
        gate = uniform(branch, self.gate) < self.p
        # What is drawn here does not depend on the gates, so neither does what follows in a step.
        if self.level in _FEW:
            first, second = two_uniform(branch, self.level)
            if known_open(gate):
                return added(branch, shortcut)
            alpha, beta = _drawn(gate, self.alpha, first), _drawn(gate, self.beta, second)
            return scaled_both_passes(branch, shortcut, alpha, beta)
        keys = draw_keys(2, branch.device)
        if known_open(gate):
            return added(branch, shortcut)
        alpha, beta = _gated(gate, self.alpha), _gated(gate, self.beta)
        return drawn_both_passes(branch, shortcut, alpha, beta, keys, self.level)

    def extra_repr(self) -> str:
        """Returns what `print(network)` shows; strengths live on the device and are left out."""
        return f"level={self.level}, gate={self.gate}"


def _drawn(gate: Tensor, interval: Tensor, draws: Tensor) -> Tensor:
    """Returns a coefficient for each gate and draw: 1 where the gate is open."""
    low, high = interval.float().unbind()
    return torch.where(gate, 1.0, torch.lerp(low, high, draws))


def _gated(gate: Tensor, interval: Tensor) -> Tensor:
    """Returns (low, high) for each gate, of shape (2, *gate.shape): [1, 1] where the gate is open.

    Drawing from [1, 1] gives exactly 1 (0·u + 1), so open and closed gates take the same single
    pass, and the gate itself is not needed again.
    """
    return torch.where(gate, 1.0, interval.float().view(2, *(1 for _ in gate.shape)))


def _interval(name: str, ends: tuple[float, float]) -> Tensor:
    low, high = ends
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"{name} is a finite range (low, high) with low <= high (got {ends})")
    return torch.tensor([float(low), float(high)])
