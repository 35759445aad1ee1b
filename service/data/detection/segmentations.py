"""Outlines of objects: polygons and run lengths, packed into arrays and drawn as masks."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from service.data.packing import PackedStrings

Segmentation = list[list[float]] | dict[str, Any]
"""As COCO writes one: polygons x, y, x, y, …, or run lengths {"size": [height, width], "counts"},
compressed to text or as a list."""


@dataclass(frozen=True, eq=False)
class PackedSegmentations:
    """The segmentations of m annotations in a few arrays.

    An annotation has polygons or run lengths.
    """

    parts: NDArray[np.int64]
    """Where the polygons of each annotation start in `corners`, and their end, (m + 1,)."""
    corners: NDArray[np.int64]
    """Where the numbers of each of p polygons start in `coordinates`, and their end, (p + 1,)."""
    coordinates: NDArray[np.int32] | NDArray[np.float64]
    """x, y, x, y, … in pixels; as int32 in hundredths of them, where that loses nothing."""
    runs: PackedStrings
    """Compressed run lengths of each annotation, empty for one with polygons."""

    def __len__(self) -> int:
        return len(self.runs)

    def has_runs(self) -> NDArray[np.bool_]:
        """Returns which annotations have run lengths, (m,)."""
        return np.diff(self.runs.ends, prepend=0) > 0

    def segmentation(self, index: int, height: int, width: int) -> Segmentation:
        """Returns an annotation's segmentation; the sides are those of its picture."""
        if runs := self.runs[index]:
            return {"size": [height, width], "counts": runs}
        first, last = self.parts[index], self.parts[index + 1]
        ends = self.corners[first : last + 1]
        numbers = in_pixels(self.coordinates[ends[0] : ends[-1]]).tolist()
        return [
            numbers[start:end]
            for start, end in zip(
                (ends[:-1] - ends[0]).tolist(), (ends[1:] - ends[0]).tolist(), strict=True
            )
        ]

    def kept(self, keep: NDArray[np.bool_], polygons: NDArray[np.bool_]) -> "PackedSegmentations":
        """Returns the segmentations of some annotations, with some of their polygons.

        Args:
            keep: Which annotations stay, (m,).
            polygons: Which polygons stay if their annotation does, (p,).
        """
        counts, lengths = np.diff(self.parts), np.diff(self.corners)
        texts = np.diff(self.runs.ends, prepend=0)
        polygons = polygons & np.repeat(keep, counts)
        owners = np.repeat(np.arange(len(keep)), counts)[polygons]
        return PackedSegmentations(
            parts=offsets(np.bincount(owners, minlength=len(keep))[keep]),
            corners=offsets(lengths[polygons]),
            coordinates=self.coordinates[np.repeat(polygons, lengths)],
            runs=PackedStrings(self.runs.text[np.repeat(keep, texts)], np.cumsum(texts[keep])),
        )


def offsets(lengths: NDArray[np.int64] | Sequence[int]) -> NDArray[np.int64]:
    """Returns where parts of given lengths start, one after the other, and the end."""
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def in_pixels(coordinates: NDArray[np.int32] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns packed coordinates as float64 pixels."""
    return coordinates / 100 if coordinates.dtype == np.int32 else coordinates.astype(np.float64)


def packed_coordinates(pixels: NDArray[np.float64]) -> NDArray[np.int32] | NDArray[np.float64]:
    """Returns coordinates in hundredths as int32 where that loses nothing, else unchanged.

    COCO's have two decimals: half the memory, and the same numbers to the last bit.
    """
    hundredths = np.rint(pixels * 100)
    if len(pixels) and np.abs(hundredths).max() >= 2**31:
        return pixels
    packed = hundredths.astype(np.int32)
    return packed if np.array_equal(packed / 100, pixels) else pixels


def masks_of(segmentations: Sequence[Segmentation], height: int, width: int) -> NDArray[np.uint8]:
    """Draws segmentations as masks, the way COCO's evaluation does.

    Args:
        segmentations: k segmentations that have passed the check of the annotation file.
        height: Height of the picture, pixels.
        width: Width of the picture, pixels.

    Returns:
        uint8 (k, height, width), 1 inside and 0 outside.
    """
    if not segmentations:
        return np.zeros((0, height, width), np.uint8)
    runs = [encoded(segmentation, height, width) for segmentation in segmentations]
    # pycocotools' arrays warn that they do not know NumPy 2's arguments; the result is right.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        # (height, width, k), column by column: a view of (k, width, height).
        drawn: NDArray[np.uint8] = coco_mask.decode(runs)
    return np.ascontiguousarray(drawn.transpose(2, 0, 1))


def encoded(segmentation: Segmentation, height: int, width: int) -> dict[str, Any]:
    """Returns one segmentation, of any of the three forms, as compressed run lengths."""
    runs: dict[str, Any]
    if isinstance(segmentation, list):
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        runs = coco_mask.frPyObjects(segmentation, height, width)
    else:
        runs = segmentation
    return runs
