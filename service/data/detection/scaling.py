"""Where a view lies in its picture and how large it becomes: drawn for training, fixed otherwise.

Random numbers come from torch's global CPU generator, as all of a view's do.
"""

from dataclasses import dataclass, replace

import torch

from service.config.detection_data import LargeScaleJitterConfig, ShortSideConfig


@dataclass(frozen=True)
class Placement:
    """A crop of a picture, resized, put into the upper left corner, then perhaps mirrored."""

    top: int
    """First row of the crop."""
    left: int
    """First column of the crop."""
    height: int
    """Rows of the crop."""
    width: int
    """Columns of the crop."""
    size: tuple[int, int]
    """Height and width that the crop becomes."""
    canvas: tuple[int, int]
    """Height and width of the view; what the crop does not cover is padding."""
    flip: bool = False
    """Whether the view is mirrored left to right."""


def fitted(height: int, width: int, short_side: int, longest: int) -> Placement:
    """Returns the placement of a whole picture by its shorter side, without padding.

    Args:
        height: Height of the picture.
        width: Width of the picture.
        short_side: Wanted length of the shorter side; less where the longer one would be too long.
        longest: Most pixels of the longer side.
    """
    factor = min(short_side / min(height, width), longest / max(height, width))
    size = (_scaled(height, factor), _scaled(width, factor))
    return Placement(0, 0, height, width, size, canvas=size)


def draw_placement(
    scale: ShortSideConfig | LargeScaleJitterConfig, flip: float, height: int, width: int
) -> Placement:
    """Draws the placement of a training view.

    Args:
        scale: How large.
        flip: Probability of a mirrored view.
        height: Height of the picture.
        width: Width of the picture.
    """
    if isinstance(scale, ShortSideConfig):
        side = scale.sides[int(torch.randint(len(scale.sides), ()))]
        placement = fitted(height, width, side, scale.longest)
    else:
        placement = _jittered(scale, height, width)
    return replace(placement, flip=bool(torch.rand(()) < flip))


def _jittered(scale: LargeScaleJitterConfig, height: int, width: int) -> Placement:
    """Draws large-scale jitter (arXiv 2012.07177, section 3): a size, and a crop that fits.

    The crop is taken before resizing, in whole pixels of the picture: a large factor makes no large
    picture. It becomes exactly as large as the square, for which the factor changes by less than a
    pixel of the picture in the crop's length.
    """
    draw = float(torch.rand(()))
    factor = scale.low + draw * (scale.high - scale.low)
    factor *= scale.size / max(height, width)
    top, rows, high = _window(height, factor, scale.size)
    left, columns, wide = _window(width, factor, scale.size)
    return Placement(top, left, rows, columns, (high, wide), canvas=(scale.size, scale.size))


def _window(length: int, factor: float, most: int) -> tuple[int, int, int]:
    """Draws a window along one side: its first pixel, its pixels, and how many those become."""
    taken = max(1, min(length, round(most / factor)))
    first = int(torch.randint(length - taken + 1, ()))
    return first, taken, most if taken < length else min(most, _scaled(length, factor))


def _scaled(length: int, factor: float) -> int:
    return max(1, round(length * factor))
