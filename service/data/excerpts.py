"""Which part of a picture a view shows, so that no more than that is decoded and resized."""

import math
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

Interpolation = Literal["bilinear", "bicubic"]

_REACH = {"bilinear": 1, "bicubic": 2}
"""Pixels of the result that a pixel of the antialiased source reaches, to each side."""
_OFF_GRID = 1 / 64
"""Largest shift of a central excerpt, pixels of the source."""


@dataclass(frozen=True)
class Excerpt:
    """A rectangle of an upright picture, and what becomes of it."""

    top: int
    """First row."""
    left: int
    """First column."""
    height: int
    """Rows."""
    width: int
    """Columns."""
    finish: Callable[[Tensor], Tensor]
    """Makes the view, uint8 (3, S, S), of the rectangle, uint8 (3, height, width)."""

    def of(self, picture: Tensor) -> Tensor:
        """Returns the view of a whole picture, uint8 (3, h, w)."""
        bottom, right = self.top + self.height, self.left + self.width
        return self.finish(picture[:, self.top : bottom, self.left : right])


class View(Protocol):
    """What is made of a picture."""

    def plan(self, height: int, width: int) -> Excerpt:
        """Returns what is shown of a picture of this size."""

    def __call__(self, picture: Tensor) -> Tensor:
        """Makes a view, uint8 (3, S, S), of a picture, uint8 (3, h, w)."""


def random_rectangle(
    height: int,
    width: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
    draws: list[float],
) -> tuple[int, int, int, int]:
    """Draws the rectangle of a random resized crop (arXiv 1409.4842, section 6).

    The share of the picture's area is uniform, the ratio of the sides log-uniform, the place
    uniform. Where none of the attempts fits into the picture, its centre is taken, as far as the
    range of ratios allows.

    Args:
        height: Of the picture.
        width: Of the picture.
        area: Least and largest share of the area.
        ratio: Least and largest width over height.
        draws: Uniform numbers in [0, 1), four for each attempt.

    Returns:
        Top, left, height and width.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    attempts = iter(draws)
    for share, shape, down, across in zip(attempts, attempts, attempts, attempts, strict=True):
        pixels = height * width * (area[0] + (area[1] - area[0]) * share)
        elongation = math.exp(low + (high - low) * shape)
        wide, tall = round(math.sqrt(pixels * elongation)), round(math.sqrt(pixels / elongation))
        if 0 < wide <= width and 0 < tall <= height:
            return int(down * (height - tall + 1)), int(across * (width - wide + 1)), tall, wide
    wide = min(width, max(1, round(height * ratio[1])))
    tall = min(height, max(1, round(width / ratio[0])))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def central(height: int, width: int, resize: int, size: int, mode: Interpolation) -> Excerpt:
    """Returns what the central view needs: resized to a shorter side of `resize`, then cut.

    The result is that of resizing the whole picture, but for a shift of at most a 64th of a
    pixel of the source: the rectangle begins on a whole pixel.

    Args:
        height: Of the picture.
        width: Of the picture.
        resize: Shorter side after resizing.
        size: Side of the view, at most `resize`.
        mode: Resampling, with antialiasing.
    """
    shorter = min(height, width)
    rows = _axis(height, int(resize * height / shorter), size, _REACH[mode])
    columns = _axis(width, int(resize * width / shorter), size, _REACH[mode])

    def finish(pixels: Tensor) -> Tensor:
        resized = interpolate(pixels, mode, factors=(rows.factor, columns.factor))
        return resized[:, rows.skip : rows.skip + size, columns.skip : columns.skip + size]

    return Excerpt(rows.first, columns.first, rows.count, columns.count, finish)


@dataclass(frozen=True)
class _Axis:
    """One direction of a central excerpt."""

    first: int
    """First pixel of the source."""
    count: int
    """Pixels of the source."""
    factor: float
    """Pixels of the result for each of the source."""
    skip: int
    """Pixels of the result before the view's first."""


def _axis(source: int, resized: int, size: int, reach: int) -> _Axis:
    """Plans one direction.

    Args:
        source: Pixels of the picture.
        resized: Pixels that all of it would become.
        size: Pixels of the view.
        reach: Pixels of the result beyond the view's that its borders depend on.
    """
    # Without the last term a rounding error could cost the last pixel.
    factor = resized / source * (1 + 1e-9)
    start = round((resized - size) / 2)
    end = start + size + reach
    if start <= reach or end >= resized:
        return _Axis(0, source, factor, start)
    # The nearest place before the view where a pixel of the result begins with one of the source;
    # at 0 one does.
    places = range(start - reach, -1, -1)
    place = next(at for at in places if abs(at / factor - round(at / factor)) <= _OFF_GRID)
    first = round(place / factor)
    return _Axis(first, min(source, math.ceil(end / factor)) - first, factor, start - place)


def interpolate(
    pixels: Tensor,
    mode: Interpolation,
    *,
    size: tuple[int, int] | None = None,
    factors: tuple[float, float] | None = None,
) -> Tensor:
    """Resizes one picture with antialiasing, as torchvision does and with less around it.

    Args:
        pixels: uint8 (3, h, w).
        mode: Resampling.
        size: Height and width of the result, or
        factors: by which height and width grow; the result is rounded down to whole pixels.

    Returns:
        uint8, channels last in memory where `pixels` is.
    """
    # A batch of one made in this way keeps its memory order, which torch's fast path needs.
    batch = pixels.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    native = _resizes_bytes()
    resized = F.interpolate(
        batch if native else batch.float(),
        size=size,
        scale_factor=factors,
        mode=mode,
        antialias=True,
    )
    return (resized if native else resized.round_().clamp_(0, 255).to(torch.uint8))[0]


def _resizes_bytes() -> bool:
    """Returns whether torch resizes uint8 with vector instructions here."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") or (
        platform.machine() in ("aarch64", "arm64")
    )
