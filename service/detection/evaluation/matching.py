"""Which detections find an object: COCO's greedy matching, for many pictures at once.

In a group (one category of one picture) the detections, best first, each take the object with
which they overlap most and at least by the threshold. Objects that count go before those that are
ignored (crowds, and objects outside the range of areas); of equal overlaps the later object wins;
a crowd can be taken again and again. A detection is ignored with its object, and, where it has
none, if it lies outside the range itself (pycocotools, cocoeval.py, `evaluateImg`).

pycocotools runs through thresholds, ranges, detections and objects one by one. Here the n-th
detections of all groups of about the same size are matched together, at all thresholds and ranges.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from service.detection.evaluation.regions import Detections, Integers, Numbers, Objects

THRESHOLDS: Numbers = np.linspace(0.5, 0.95, 10)
"""Least overlaps (IoU), T of them."""
AREA_RANGES: Numbers = np.array(
    [[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]], dtype=np.float64
)
"""Least and greatest area in pixels, (A, 2): all, small, medium, large."""

Booleans = NDArray[np.bool_]

# pycocotools' bound, which also lets an overlap of 1 reach a threshold of 1.
_REACHED = np.minimum(THRESHOLDS, 1 - 1e-10)
_CELLS = 1 << 20  # booleans worked on at once, about a core's cache


@dataclass(frozen=True)
class Matches:
    """What became of n detections, for each range of areas and threshold."""

    right: Booleans
    """(n, A, T): found an object that counts."""
    wrong: Booleans
    """(n, A, T): found none, and counts itself. The others are ignored."""
    ignored: Booleans
    """(objects, A): objects that do not count."""


def match(detections: Detections, objects: Objects) -> Matches:
    """Matches the detections of all groups with the objects of their group."""
    ignored = _outside(objects.areas) | objects.crowds[:, None]
    shape = (len(detections.scores), len(AREA_RANGES), len(THRESHOLDS))
    found = np.zeros(shape, dtype=np.bool_)
    found_ignored = np.zeros(shape, dtype=np.bool_)
    for block in _blocks(_comparisons(detections, objects), len(objects.areas)):
        _match_block(block, objects, ignored, found, found_ignored)
    right = found & ~found_ignored
    wrong = ~found & ~_outside(detections.areas)[:, :, None]
    return Matches(right, wrong, ignored)


@dataclass(frozen=True)
class _Comparison:
    """The rows of a group's detections that could find an object, and its objects' first row."""

    rows: Integers
    """(d,), by descending score."""
    first: int
    overlaps: Numbers
    """IoU of the d detections with the g objects, (d, g)."""


@dataclass(frozen=True)
class _Block:
    """Comparisons of n groups, the one with most detections first."""

    rows: list[Integers]
    """For the k-th detections: their rows; as many as groups have that many."""
    overlaps: list[Numbers]
    """For the k-th detections: IoU with the objects of their group, (·, G); -1 fills up."""
    objects: Integers
    """Rows of the objects, (n, G); what fills up points to a row that is there."""


def _outside(areas: Numbers) -> Booleans:
    """Returns which areas (n,) lie outside which range, (n, A)."""
    outside: Booleans = (areas[:, None] < AREA_RANGES[:, 0]) | (areas[:, None] > AREA_RANGES[:, 1])
    return outside


def _comparisons(detections: Detections, objects: Objects) -> list[_Comparison]:
    """Returns the overlaps within all groups that have detections and objects."""
    common = np.intersect1d(detections.groups, objects.groups)
    pairs = zip(detections.slices(common), objects.slices(common), strict=True)
    crowds = objects.crowds.astype(np.uint8)
    comparisons = []
    for ours, theirs in pairs:
        # pycocotools' own C code: the last digit of an overlap decides at a threshold.
        if detections.masks is not None and objects.masks is not None:
            overlaps = coco_masks.iou(detections.masks[ours], objects.masks[theirs], crowds[theirs])
        else:
            overlaps = coco_masks.iou(detections.boxes[ours], objects.boxes[theirs], crowds[theirs])
        able = np.flatnonzero(overlaps.max(axis=1) >= THRESHOLDS[0])
        if len(able):
            comparisons.append(_Comparison(ours.start + able, theirs.start, overlaps[able]))
    return comparisons


def _blocks(comparisons: list[_Comparison], objects: int) -> Iterator[_Block]:
    """Yields comparisons of similar size together.

    Args:
        comparisons: Those of all groups.
        objects: Rows of objects there are.
    """
    width = [1 << (one.overlaps.shape[1] - 1).bit_length() for one in comparisons]
    order = sorted(
        range(len(comparisons)), key=lambda place: (width[place], -len(comparisons[place].rows))
    )
    begin = 0
    while begin < len(order):
        columns = width[order[begin]]
        most = max(1, _CELLS // (columns * len(AREA_RANGES) * len(THRESHOLDS)))
        end = begin + 1
        while end < len(order) and end - begin < most and width[order[end]] == columns:
            end += 1
        yield _block([comparisons[place] for place in order[begin:end]], columns, objects)
        begin = end


def _block(chosen: list[_Comparison], columns: int, objects: int) -> _Block:
    most = len(chosen[0].rows)
    overlaps = np.full((most, len(chosen), columns), -1.0)
    rows = np.full((most, len(chosen)), -1, dtype=np.int64)
    for place, one in enumerate(chosen):
        overlaps[: len(one.rows), place, : one.overlaps.shape[1]] = one.overlaps
        rows[: len(one.rows), place] = one.rows
    first = np.array([one.first for one in chosen])
    counts = (rows >= 0).sum(axis=1).tolist()
    return _Block(
        [line[:count] for line, count in zip(rows, counts, strict=True)],
        [table[:count] for table, count in zip(overlaps, counts, strict=True)],
        np.minimum(first[:, None] + np.arange(columns), objects - 1),
    )


def _match_block(
    block: _Block, objects: Objects, ignored: Booleans, found: Booleans, found_ignored: Booleans
) -> None:
    """Matches the groups of a block and marks what their detections found.

    Args:
        block: The groups.
        objects: All objects.
        ignored: Which objects do not count, (objects, A).
        found: Which detections have an object, (n, A, T); filled in here.
        found_ignored: Which have one that does not count; filled in here.
    """
    counts = ~ignored[block.objects].transpose(0, 2, 1)[:, :, None]  # (n, A, 1, G)
    crowds = objects.crowds[block.objects][:, None, None]  # (n, 1, 1, G)
    shape = (*counts.shape[:2], len(THRESHOLDS), counts.shape[3])
    open_ones = np.ones(shape, dtype=np.bool_)
    for rows, overlaps in zip(block.rows, block.overlaps, strict=True):
        n = len(rows)
        reached = overlaps[:, None, None, :] >= _REACHED[:, None]
        candidates = open_ones[:n] & reached
        counting = candidates & counts[:n]
        with_counting = np.logical_or.reduce(counting, axis=3)
        with_any = np.logical_or.reduce(candidates, axis=3)
        candidates = np.where(with_counting[..., None], counting, candidates)
        values = np.where(candidates, overlaps[:, None, None, :], -1.0)
        # The last of equal ones: the first from behind.
        taken = values.shape[3] - 1 - values[..., ::-1].argmax(axis=3)
        found[rows] = with_any
        found_ignored[rows] = with_any & ~with_counting
        is_taken = (np.arange(values.shape[3]) == taken[..., None]) & with_any[..., None]
        open_ones[:n] &= ~(is_taken & ~crowds[:n])
