"""Shortcuts of blocks that change the map's size or channels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.models.design import BlockSize, Shortcut
from service.models.layers import convolution


class TwoPaths(nn.Module):
    """Half the channels from every second pixel, half from the pixels beside them.

    Each path takes every `stride`-th pixel through a 1x1 convolution, the second path after moving
    the map one pixel right and down, so that together they see two of each four pixels; then batch
    normalisation (arXiv 1705.07485 and its authors' code).

    Args:
        inputs: Channels it reads.
        outputs: Channels it writes.
        stride: Step between pixels.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        # Average pooling over 1x1 with a stride is the stride alone.
        self.conv1 = convolution(inputs, half, 1, stride)
        self.conv2 = convolution(inputs, outputs - half, 1, stride)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the shortcut, (N, outputs, ⌈H / stride⌉, ⌈W / stride⌉)."""
        moved = F.pad(x, (1, -1, 1, -1))
        shortcut: Tensor = self.bn(torch.cat([self.conv1(x), self.conv2(moved)], dim=1))
        return shortcut


def shortcut_layer(kind: Shortcut, size: BlockSize, *, normalised: bool) -> nn.Module | None:
    """Returns what fits a block's shortcut to its branch, or None if the block's input fits.

    Args:
        kind: `projection`, a 1x1 convolution (arXiv 1512.03385, option B); `zero_padding`, average
            pooling and then channels of zeros (arXiv 1610.02915); `two_paths`, see `TwoPaths`.
        size: The block's channels and stride.
        normalised: Whether batch normalisation follows the projection.
    """
    inputs, _, outputs, stride = size
    if inputs == outputs and stride == 1:
        return None
    if kind == "two_paths":
        return TwoPaths(inputs, outputs, stride)
    if kind == "zero_padding":
        return _zero_padding(outputs - inputs, stride)
    projection: list[nn.Module] = [convolution(inputs, outputs, 1, stride)]
    if normalised:
        projection.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*projection)


def _zero_padding(channels: int, stride: int) -> nn.Module:
    # Of the four dimensions (N, C, H, W) the last three are padded. An odd side is rounded up, as a
    # convolution with this stride rounds it.
    padding = nn.ZeroPad3d((0, 0, 0, 0, 0, channels))
    if stride == 1:
        return padding
    return nn.Sequential(nn.AvgPool2d(stride, ceil_mode=True), padding)
