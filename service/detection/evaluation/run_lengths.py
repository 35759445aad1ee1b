"""COCO's run-length encoding, computed for many masks at once.

A mask is read column by column; its counts are the lengths of alternating runs of zeros and ones,
zeros first. A string holds each count, from the fourth on as its difference from the one two
places before, in groups of five bits (cocoapi, maskApi.c, `rleToString`).
"""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class RunLengths(TypedDict):
    """A mask as pycocotools takes and gives it."""

    size: list[int]
    """Height and width."""
    counts: bytes
    """The compressed run lengths."""


def edges_within(visible: NDArray[np.bool_], left: int, top: int, height: int) -> Integers:
    """Returns where runs of ones begin and end, alternating, in a picture read by columns.

    Args:
        visible: (h, w), the part of a mask that may hold ones.
        left: Column of the picture where that part begins.
        top: Row of the picture where that part begins.
        height: Height of the picture.
    """
    h, w = visible.shape
    # A zero above each column makes runs end with their column.
    columns = np.zeros(w * (h + 1) + 1, dtype=np.bool_)
    columns[1:].reshape(w, h + 1)[:, :h] = visible.T
    column, row = np.divmod(np.flatnonzero(columns[1:] != columns[:-1]), h + 1)
    edges = (left + column) * height + top + row
    if h < height:
        return edges
    # In a part of full height a run may go on in the next column.
    meet = edges[1:] == edges[:-1]
    kept = np.ones(len(edges), dtype=np.bool_)
    kept[1:] &= ~meet
    kept[:-1] &= ~meet
    return edges[kept]


def encode_edges(edges: list[Integers], height: int, width: int) -> list[RunLengths]:
    """Returns the encoded masks of a picture, byte for byte as pycocotools encodes them.

    Args:
        edges: For each mask, where its runs of ones begin and end.
        height: Height of the picture.
        width: Width of the picture.
    """
    if not edges:
        return []
    counts, lengths = _counts(edges, height * width)
    groups, used = _groups(_differences(counts, lengths))
    ends = np.cumsum(used)[np.cumsum(lengths) - 1]
    string = groups.tobytes()
    starts = [0, *ends[:-1].tolist()]
    return [
        {"size": [height, width], "counts": string[start:end]}
        for start, end in zip(starts, ends.tolist(), strict=True)
    ]


def _counts(edges: list[Integers], pixels: int) -> tuple[Integers, Integers]:
    """Returns the run lengths of all masks in a row, and how many each mask has."""
    begin, end = np.zeros(1, dtype=np.int64), np.full(1, pixels, dtype=np.int64)
    parts = []
    for mask in edges:
        counts = np.diff(np.concatenate([begin, mask, end]))
        # A run of ones that reaches the last pixel is the last run.
        parts.append(counts[:-1] if len(mask) and counts[-1] == 0 else counts)
    return np.concatenate(parts), np.array([len(part) for part in parts], dtype=np.int64)


def _differences(counts: Integers, lengths: Integers) -> Integers:
    """Returns what the string holds: from a mask's fourth count on, differences."""
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    later = np.flatnonzero(np.arange(len(counts)) - first > 2)
    values = counts.copy()
    values[later] -= counts[later - 2]
    return values


def _groups(values: Integers) -> tuple[NDArray[np.uint8], Integers]:
    """Returns the characters of all values in a row, and how many each value takes."""
    columns, open_ones = [], np.ones(len(values), dtype=np.bool_)
    used = np.zeros(len(values), dtype=np.int64)
    present = []
    while open_ones.any():
        five = values & 0x1F
        values = values >> 5
        present.append(open_ones)
        used += open_ones
        # The fifth bit is the sign of what follows.
        open_ones = open_ones & (values != np.where(five & 0x10, -1, 0))
        columns.append((five | np.where(open_ones, 0x20, 0)) + 48)
    characters = np.stack(columns, axis=1).astype(np.uint8)
    return characters[np.stack(present, axis=1)], used
