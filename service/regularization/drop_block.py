"""DropBlock: regularisation of feature maps by dropping whole blocks of them.

What it does. Neighbouring values of a feature map say nearly the same, so dropping single values
hides little. DropBlock zeroes blocks of side k, for each sample and channel anew, and scales what
is left so that the mean stays.

    k'    = min(k, side)                              in each dimension
    γ     = drop_prob · volume / (k'-block's volume) / (places where a whole block fits)
    seeds ~ Bernoulli(γ)                              at those places only
    mask  = 1 − (seeds dilated to blocks)
    training      y = x · mask · (size of mask / sum of mask)
    evaluation    y = x                               no draws

Source. DropBlock, arXiv 1810.12890, algorithm 1 and equation 1. γ expects blocks not to overlap;
they do, so slightly less than drop_prob is dropped: 0.0929 of a 14x14 map for k = 7 and 0.1.

Effect. ImageNet, ResNet-50: 76.5 % top-1 without it, 78.13 % with it (the same paper).

Cost. No parameters and no wait for the device. A random number for each place of a block, a few
passes over masks of one byte a value, two over the values; one byte a value is kept for the
backward pass. On one CPU thread both passes together took a sixth to a ninth of the time of
torchvision's drop_block2d (maps of 7 to 28, k = 7). Not measured on a GPU.

Defaults. None here; the service takes the paper's k = 7 and drop_prob = 0.1. The paper lets
drop_prob rise linearly from 0 over the training (`linear_ramp`).

Where. On the feature maps of the last two stages of a ResNet, the earlier at a quarter of the
strength: in a bottleneck after the shortcut's normalisation, after both inner ReLUs, and after the
last normalisation before the addition. Needs no residual block. k = 1 is dropout, and a block at
least as large as the map drops whole maps. Not for vectors of features: there use dropout.

A network that is not ours needs two lines:

    self.drop_block = DropBlock2d(drop_prob=0.1, block_size=7)
    x = self.drop_block(x)
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.regularization.checks import checked_probability


class _DropBlock(nn.Module):
    """DropBlock for maps of any number of dimensions."""

    spatial: ClassVar[int]
    drop_prob: Tensor

    def __init__(self, drop_prob: float, block_size: int, share_channels: bool = False) -> None:
        super().__init__()
        if block_size < 1:
            raise ValueError(f"block_size is the side of a block, at least 1 (got {block_size})")
        self.block_size = block_size
        self.share_channels = share_channels
        strength = torch.tensor(checked_probability("drop_prob", drop_prob))
        # Not persistent: torchvision's state dicts must keep loading strictly.
        self.register_buffer("drop_prob", strength, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the map with blocks dropped and the rest scaled up.

        Args:
            x: Feature maps, of shape (N, C, H, W) or, in three dimensions, (N, C, D, H, W), and any
                floating type.

        Returns:
            A new tensor of the same shape and type; in evaluation x itself.

        Raises:
            ValueError: x has another number of dimensions.
        """
        if x.ndim != 2 + self.spatial:
            raise ValueError(
                f"{type(self).__name__} takes maps of {2 + self.spatial} dimensions, samples and "
                f"channels first (got shape {tuple(x.shape)})"
            )
        if not self.training:
            return x
        dropped = self._dropped(x)
        # Counted in integers: a sum in fp16 is infinite from 65,520 on, and torchvision's
        # drop_block2d then returns zeros.
        count = dropped.count_nonzero()
        # size / kept in a form that is 1 exactly where nothing is dropped, on every device.
        scale = 1 + count / (dropped.numel() - count)
        # With everything dropped it is infinite, and in fp16 with nearly everything already;
        # 0 times infinity is no number.
        scale = scale.to(x.dtype).clamp(max=torch.finfo(x.dtype).max)
        # `where` keeps the memory order in both passes; the gradient of masked_fill does not.
        return torch.where(dropped, 0.0, x).mul_(scale)

    def _dropped(self, x: Tensor) -> Tensor:
        """Returns where blocks lie: true or false, of x's shape, or with one channel if shared."""
        sides = x.shape[2:]
        blocks = [min(self.block_size, side) for side in sides]
        places = [side - block + 1 for side, block in zip(sides, blocks, strict=True)]
        gamma = self.drop_prob.float() * _seeds_per_value(sides, blocks, places)
        dropped = torch.rand_like(self._corner(x, places), dtype=torch.float32) < gamma
        # From the last dimension, so that the many short rows are still few when they are padded.
        for dimension, block in reversed([*enumerate(blocks, start=2)]):
            dropped = _dilated(dropped, dimension, block)
        return dropped

    def _corner(self, x: Tensor, places: Sequence[int]) -> Tensor:
        """Returns a part of x with one value for each seed, in x's memory order."""
        part = x[:, :1] if self.share_channels else x
        for dimension, count in enumerate(places, start=2):
            part = part.narrow(dimension, 0, count)
        return part

    def extra_repr(self) -> str:
        """Returns what `print(network)` shows; the strength lives on the device and is left out."""
        return f"block_size={self.block_size}, share_channels={self.share_channels}"


class DropBlock2d(_DropBlock):
    """Drops square blocks of maps (N, C, H, W) in training.

    The strength is the buffer `drop_prob`. It may be changed in place between steps without
    recompiling: `unit.drop_prob.fill_(0.05)`. It is configuration, not a weight, so a state dict
    does not hold it. At 0 the output equals the input.

    Args:
        drop_prob: Share of a map to drop, in [0, 1], before blocks overlap.
        block_size: Side of a block, k; on a smaller map the map's side, in each dimension.
        share_channels: Drop the same blocks in all channels of a sample.

    Raises:
        ValueError: drop_prob is outside [0, 1], or block_size below 1.
    """

    spatial = 2


class DropBlock3d(_DropBlock):
    """Drops cubic blocks of maps (N, C, D, H, W) in training; otherwise as `DropBlock2d`.

    Args:
        drop_prob: Share of a map to drop, in [0, 1], before blocks overlap.
        block_size: Side of a block, k; on a smaller map the map's side, in each dimension.
        share_channels: Drop the same blocks in all channels of a sample.

    Raises:
        ValueError: drop_prob is outside [0, 1], or block_size below 1.
    """

    spatial = 3


def _seeds_per_value(sides: Sequence[int], blocks: Sequence[int], places: Sequence[int]) -> float:
    """Returns γ / drop_prob: with it drop_prob of a map is dropped if blocks never overlap."""
    return math.prod(sides) / (math.prod(blocks) * math.prod(places))


def _dilated(seeds: Tensor, dimension: int, block: int) -> Tensor:
    """Returns where some seed lies at most block − 1 places before; longer by block − 1.

    Windows double: of 1, of 2, of 4, … places. So a block costs log₂ of its side in passes.
    """
    ends = [0, 0] * (seeds.ndim - dimension - 1) + [block - 1, block - 1]
    window, reached = F.pad(seeds, ends), 1
    while reached < block:
        shift = min(reached, block - reached)
        length = window.shape[dimension] - shift
        window = window.narrow(dimension, 0, length) | window.narrow(dimension, shift, length)
        reached += shift
    return window
