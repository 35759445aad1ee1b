"""A residual block: branch + shortcut + the rule that merges them.

A new kind of block is a list of convolutions, an order of layers, and a shortcut; all kinds share
the one class below.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from service.models.layers import (
    Layers,
    add_layers,
    convolution,
    convolutions_first,
    normalisation_first,
    run_layers,
)
from service.models.merge import Merge


class ResidualBlock(nn.Module):
    """activation(merge(branch(entry(x)), shortcut)).

    The shortcut is x itself, or `downsample(entry(x))` where the block changes the map's size or
    channels. Layers of entry and branch are children of the block under their own names.

    Args:
        branch: The layers of F.
        merge: The rule that adds the branch to the shortcut.
        entry: Layers that branch and projection share; none for most kinds of block.
        downsample: The projection; None for the identity.
        activation: What follows the addition.
    """

    def __init__(
        self,
        branch: Layers,
        merge: Merge,
        *,
        entry: Layers,
        downsample: nn.Module | None,
        activation: nn.Module,
    ) -> None:
        super().__init__()
        self.entry_names = add_layers(self, entry)
        self.branch_names = add_layers(self, branch)
        self.downsample = downsample
        self.merge = merge
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's output, (N, C', H', W'), for x of shape (N, C, H, W)."""
        entered = run_layers(self, self.entry_names, x)
        shortcut = x if self.downsample is None else self.downsample(entered)
        branch = run_layers(self, self.branch_names, entered)
        output: Tensor = self.activation(self.merge([branch], shortcut))
        return output

    @property
    def last_norm(self) -> nn.BatchNorm2d | None:
        """The batch normalisation that ends the branch; None if a convolution does."""
        last = getattr(self, self.branch_names[-1])
        return last if isinstance(last, nn.BatchNorm2d) else None


def post_activation_block(
    convolutions: Sequence[nn.Conv2d], merge: Merge, activation: nn.Module
) -> ResidualBlock:
    """Returns a block that normalises after each convolution (arXiv 1512.03385).

    Args:
        convolutions: The branch's convolutions; the projection follows from their sizes.
        merge: The rule that adds the branch to the shortcut.
        activation: ReLU, or Identity for EraseReLU (arXiv 1709.07634).
    """
    return ResidualBlock(
        convolutions_first(convolutions),
        merge,
        entry={},
        downsample=_projection(convolutions, normalised=True),
        activation=activation,
    )


def pre_activation_block(
    convolutions: Sequence[nn.Conv2d], merge: Merge, *, last_norm: bool
) -> ResidualBlock:
    """Returns a block that normalises and activates before each convolution (arXiv 1603.05027).

    The projection reads the normalised and activated input, and is a convolution alone.

    Args:
        convolutions: The branch's convolutions; the projection follows from their sizes.
        merge: The rule that adds the branch to the shortcut.
        last_norm: End the branch with one more batch normalisation.
    """
    branch = normalisation_first(convolutions)
    entry = {name: branch.pop(name) for name in ("bn1", "relu1")}
    if last_norm:
        channels = convolutions[-1].out_channels
        branch[f"bn{len(convolutions) + 1}"] = nn.BatchNorm2d(channels)
    return ResidualBlock(
        branch,
        merge,
        entry=entry,
        downsample=_projection(convolutions, normalised=False),
        activation=nn.Identity(),
    )


def basic_convolutions(inputs: int, width: int, stride: int) -> list[nn.Conv2d]:
    """Returns two 3x3 convolutions (arXiv 1512.03385, figure 5 left); the first has the stride."""
    return [convolution(inputs, width, 3, stride), convolution(width, width, 3)]


def bottleneck_convolutions(inputs: int, width: int, stride: int) -> list[nn.Conv2d]:
    """Returns 1x1, 3x3 and 1x1 convolutions, the last to 4 times the width.

    The 3x3 convolution has the stride, as in torchvision (ResNet v1.5). In arXiv 1512.03385 the
    first 1x1 has it, and never sees three quarters of the block's input.
    """
    return [
        convolution(inputs, width, 1),
        convolution(width, width, 3, stride),
        convolution(width, 4 * width, 1),
    ]


def _projection(convolutions: Sequence[nn.Conv2d], *, normalised: bool) -> nn.Module | None:
    """Returns the 1x1 convolution that fits the shortcut to the branch, or None if x fits."""
    inputs, outputs = convolutions[0].in_channels, convolutions[-1].out_channels
    stride = math.prod(layer.stride[0] for layer in convolutions)
    if inputs == outputs and stride == 1:
        return None
    layers: list[nn.Module] = [convolution(inputs, outputs, 1, stride)]
    if normalised:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers)
