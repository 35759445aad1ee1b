"""A network in a few values: what every family comes down to.

A family is a function from its configuration to a design (`families.py`). Nothing is built here, so
that questions about a network (its name, the regularisers it takes) cost nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NamedTuple

Stem = Literal["imagenet", "conv_bn_relu", "conv_bn", "conv"]
BlockKind = Literal["basic", "bottleneck"]
Order = Literal["post_activation", "erase_relu", "pre_activation", "pyramid", "shake"]
Shortcut = Literal["projection", "zero_padding", "two_paths"]

BOTTLENECK_EXPANSION = 4
"""Output channels of a bottleneck for each channel inside it (arXiv 1512.03385, figure 5)."""


class BlockWidth(NamedTuple):
    """Channels of one block."""

    inner: int
    """Between the branch's convolutions."""
    outputs: int
    """Of the branch's last convolution, and of the block."""


class BlockSize(NamedTuple):
    """What the convolutions of one block are cut to."""

    inputs: int
    """Channels of the block's input."""
    inner: int
    """Channels between the branch's convolutions."""
    outputs: int
    """Channels of the block's output."""
    stride: int
    """Step of the block, pixels."""


def ends_with_norm(order: Order) -> bool:
    """Returns whether a branch ends with batch normalisation of itself."""
    return order != "pre_activation"


@dataclass(frozen=True)
class Design:
    """A residual network in a few values."""

    name: str
    """Its name in the catalogue and in runs; the regulariser is not part of it."""
    stem: Stem
    """Layers before the first stage."""
    stem_channels: int
    """Channels that the first block reads."""
    stages: tuple[tuple[BlockWidth, ...], ...]
    """Widths of the blocks of each stage. The first block of each stage but the first halves the
    map's sides."""
    block: BlockKind
    """Convolutions of a branch: two of 3x3, or 1x1, 3x3 and 1x1."""
    order: Order
    """Order of convolution, normalisation and ReLU in a block."""
    shortcut: Shortcut = "projection"
    """How a shortcut changes its size where its block does."""
    cardinality: int = 1
    """Groups of a bottleneck's 3x3 convolution."""
    branches: int = 1
    """Residual branches of a block."""

    @property
    def relu_after_addition(self) -> bool:
        """Whether a block ends with a ReLU, rather than with the addition."""
        return self.order == "post_activation"

    @property
    def sizes(self) -> list[list[BlockSize]]:
        """Sizes of the blocks of each stage: each block reads what the one before it puts out."""
        inputs, stages = self.stem_channels, list[list[BlockSize]]()
        for widths in self.stages:
            stages.append([])
            for width in widths:
                stride = 2 if len(stages) > 1 and not stages[-1] else 1
                stages[-1].append(BlockSize(inputs, width.inner, width.outputs, stride))
                inputs = width.outputs
        return stages


def doubling(
    blocks: Sequence[int], width: int, kind: BlockKind, inner: int | None = None
) -> tuple[tuple[BlockWidth, ...], ...]:
    """Returns stages that double their channels (arXiv 1512.03385, table 1).

    Args:
        blocks: Blocks of each stage.
        width: Channels of the first stage; bottlenecks put out 4 times as many.
        kind: Kind of the blocks.
        inner: Channels inside the first stage's blocks, where they are not `width`.
    """
    inner = width if inner is None else inner
    expansion = expansion_of(kind)
    return tuple(
        (BlockWidth(inner * 2**stage, width * expansion * 2**stage),) * count
        for stage, count in enumerate(blocks)
    )


def pyramid(
    blocks: Sequence[int], start: int, alpha: int, kind: BlockKind
) -> tuple[tuple[BlockWidth, ...], ...]:
    """Returns stages whose channels grow with every block (arXiv 1610.02915, equation 3).

    Block k of N has start + kα/N channels, halves rounded up; bottlenecks put out 4 times as many.

    Args:
        blocks: Blocks of each stage.
        start: Channels of the stem.
        alpha: α, what all blocks together add.
        kind: Kind of the blocks.
    """
    total = sum(blocks)
    # In whole numbers, ⌊(start + kα/N) + 1/2⌋: kα/N as a fraction of floats may miss a half.
    widths = [start + (2 * alpha * k + total) // (2 * total) for k in range(1, total + 1)]
    grown = [BlockWidth(width, width * expansion_of(kind)) for width in widths]
    ends = list(accumulate(blocks))
    return tuple(tuple(grown[end - count : end]) for count, end in zip(blocks, ends, strict=True))


def expansion_of(kind: BlockKind) -> int:
    """Returns a block's output channels for each channel inside it."""
    return BOTTLENECK_EXPANSION if kind == "bottleneck" else 1
