"""Shake-Shake: regularisation of two-branch residual networks by mixing the branches at random.

What it does. A residual block x + F1(x) + F2(x) gets random shares instead of the sum. The backward
pass shares the gradient out anew, so it is deliberately not that of the loss.

    training, forward    α F1(x) + (1 − α) F2(x)         α ~ U[0, 1] (shake) or 0.5 (even)
    training, backward   β ∂ to F1, (1 − β) ∂ to F2      β ~ U[0, 1] (shake), 0.5 (even), α (keep)
    evaluation, both     0.5 F1(x) + 0.5 F2(x)           no draws

Source. Shake-Shake regularization, arXiv 1705.07485, section 1, and its authors' code. α is
uniform; u1 / (u1 + u2) of two uniform draws, as some public code has it, is not.

Effect. CIFAR-10, ResNet-26 2x32d, 2x64d, 2x96d: 4.27, 3.76, 3.58 % error even-even, and 3.55, 2.98,
2.86 % shake-shake-image (the same paper). CIFAR-100, ResNeXt-29 2x4x64d: shake-even-image 15.85 %.

Cost. No parameters, no wait for the device, one pass over the branches instead of the sum's, and
nothing kept for the backward pass but, with `keep`, one number for each image.

Defaults. shake-shake-image, the paper's best on CIFAR-10; its CIFAR-100 network, with batches of
32, uses shake-even-image.

Where. In the place of the sum of exactly two branches of the same shape, in every block. Not
defined for one branch, nor for branches of different shapes.

A block of a network that is not ours needs two lines:

    self.shake_shake = ShakeShake()
    y = shortcut + self.shake_shake(first, second)
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from service.regularization.checks import checked_choice
from service.regularization.draws import uniform

ForwardMode = Literal["shake", "even"]
BackwardMode = Literal["shake", "even", "keep"]
ShakeShakeLevel = Literal["batch", "image"]


class ShakeShake(nn.Module):
    """Mixes two branches by α and 1 − α, and shares their gradient out by β and 1 − β.

    Draws come from the default generator of the branches' device: α in the forward pass, β in the
    backward pass. A second backward pass through the same graph draws another β.

    Args:
        forward_mode: α is drawn (`shake`) or 0.5 (`even`).
        backward_mode: β is drawn (`shake`), 0.5 (`even`) or α (`keep`).
        level: Shape of α and β: one draw for the batch, or for each image (N).

    Raises:
        ValueError: An unknown mode or level.
    """

    def __init__(
        self,
        forward_mode: ForwardMode = "shake",
        backward_mode: BackwardMode = "shake",
        level: ShakeShakeLevel = "image",
    ) -> None:
        super().__init__()
        self.forward_mode = checked_choice("forward_mode", forward_mode, get_args(ForwardMode))
        self.backward_mode = checked_choice("backward_mode", backward_mode, get_args(BackwardMode))
        self.level = checked_choice("level", level, get_args(ShakeShakeLevel))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Returns the mixture of two branches.

        Args:
            first: F1(x), of shape (N, ...) and any floating type.
            second: F2(x), of the same shape and type.

        Returns:
            A new tensor of the same shape and type, which may be added to in place.

        Raises:
            ValueError: The branches differ in shape or type.
        """
        if first.shape != second.shape or first.dtype != second.dtype:
            raise ValueError(
                f"Shake-Shake mixes two branches of one shape and type (got {tuple(first.shape)} "
                f"{first.dtype} and {tuple(second.shape)} {second.dtype})"
            )
        if not self.training:
            return torch.lerp(second, first, 0.5)
        alpha = _share(first, self.forward_mode, self.level)
        mixed: Tensor = _MixBothPasses.apply(first, second, alpha, self.backward_mode, self.level)
        return mixed

    def extra_repr(self) -> str:
        """Returns what `print(network)` shows."""
        return f"{self.forward_mode}-{self.backward_mode}-{self.level}"


class _MixBothPasses(torch.autograd.Function):
    """Mixes by one share forwards, and by the same or another one backwards."""

    # No setup_context: with it each call costs five times as much.
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  # torch's
        first: Tensor,
        second: Tensor,
        alpha: Tensor,
        mode: str,
        level: str,
    ) -> Tensor:
        ctx.mode, ctx.level = mode, level
        ctx.save_for_backward(*([alpha] if mode == "keep" else []))
        # One kernel and one rounding of α; the paper's order of arguments is lerp's reversed.
        return torch.lerp(second, first, alpha)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (gradient,) = gradients
        kept = ctx.saved_tensors
        beta = kept[0] if kept else _share(gradient, ctx.mode, ctx.level)
        return gradient * beta, gradient * (1 - beta), None, None, None


def _share(values: Tensor, mode: str, level: str) -> Tensor:
    """Returns the first branch's share, to multiply `values` with."""
    if mode == "even":
        return values.new_full((), 0.5)
    return uniform(values, level).to(values.dtype)
