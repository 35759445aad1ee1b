"""Objects and detections of several pictures, sorted into groups that are compared.

A group is what one picture shows of one category. Rows are sorted by picture id, then category.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from service.data.detection.segmentations import encoded
from service.detection.evaluation.detections import PictureDetections
from service.detection.evaluation.results import Kind, masks_of
from service.detection.evaluation.run_lengths import RunLengths

MOST_DETECTIONS = 100
"""Detections of a picture and category that count; COCO leaves out the weaker ones."""

_AT_A_TIME = 128

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Regions:
    """Rows of objects or of detections."""

    groups: Integers
    """(n,), ascending: place of the picture among the worker's, times the count of categories,
    plus place of the category."""
    boxes: Numbers
    """(n, 4): left, top, width, height."""
    areas: Numbers
    """(n,), pixels; of the mask where masks are compared."""
    masks: list[RunLengths] | None
    """n masks where masks are compared."""

    def slices(self, groups: Integers) -> list[slice]:
        """Returns where the rows of each of these groups stand."""
        starts = np.searchsorted(self.groups, groups, side="left").tolist()
        ends = np.searchsorted(self.groups, groups, side="right").tolist()
        return [slice(start, end) for start, end in zip(starts, ends, strict=True)]


@dataclass(frozen=True)
class Objects(Regions):
    """Ground truth."""

    crowds: NDArray[np.bool_]
    """(n,), whether a row stands for many objects."""


@dataclass(frozen=True)
class Detections(Regions):
    """Detections, within a group by descending score, `MOST_DETECTIONS` of a group at most."""

    scores: Numbers
    """(n,)."""
    ranks: Integers
    """(n,), place in the group."""


def objects_of(
    annotations: Sequence[Mapping[str, Any]],
    sizes: Sequence[tuple[int, int]],
    places: Mapping[int, int],
    categories: Integers,
    kind: Kind,
) -> Objects:
    """Returns the objects of a worker's pictures.

    Args:
        annotations: Of these pictures, as COCO has them.
        sizes: Height and width of each picture.
        places: Place of each picture id among the worker's, in ascending order of ids.
        categories: All category ids, ascending; annotations of others are left out.
        kind: What is compared.
    """
    known = set(categories.tolist())
    kept = [one for one in annotations if one["category_id"] in known]
    pictures = np.array([places[one["image_id"]] for one in kept], dtype=np.int64)
    ids = np.array([one["category_id"] for one in kept], dtype=np.int64)
    groups = pictures * len(categories) + np.searchsorted(categories, ids)
    order = np.argsort(groups, kind="stable")
    rows = [kept[place] for place in order.tolist()]
    masks = None
    if kind == "mask":
        masks = [
            cast(RunLengths, encoded(one["segmentation"], *sizes[place]))
            for one, place in zip(rows, pictures[order].tolist(), strict=True)
        ]
    return Objects(
        groups=groups[order],
        boxes=np.array([one["bbox"] for one in rows], dtype=np.float64).reshape(-1, 4),
        areas=np.array([one["area"] for one in rows], dtype=np.float64),
        masks=masks,
        crowds=np.array([bool(one.get("iscrowd", 0)) for one in rows], dtype=np.bool_),
    )


def detections_of(
    pictures: Sequence[PictureDetections], categories: Integers, kind: Kind
) -> Detections:
    """Returns the detections of a worker's pictures.

    Args:
        pictures: In ascending order of ids.
        categories: All category ids, ascending; detections of others are left out.
        kind: What is compared.
    """
    lengths = [len(picture) for picture in pictures]
    # The empty row makes no pictures a case like any other.
    scores = np.concatenate([np.empty(0), *(picture.scores for picture in pictures)])
    ids = np.concatenate([np.empty(0, np.int64), *(picture.categories for picture in pictures)])
    boxes = np.concatenate([np.empty((0, 4)), *(picture.boxes for picture in pictures)])
    columns = np.minimum(np.searchsorted(categories, ids), len(categories) - 1)
    groups = (
        np.repeat(np.arange(len(pictures), dtype=np.int64), lengths) * len(categories) + columns
    )
    # lexsort is stable, as pycocotools' sorting is: equal scores keep their order.
    order = np.lexsort((-scores, groups))
    order = order[categories[columns[order]] == ids[order]]
    ranks = _ranks(groups[order])
    order, ranks = order[ranks < MOST_DETECTIONS], ranks[ranks < MOST_DETECTIONS]
    boxes = boxes[order]
    boxes[:, 2:] -= boxes[:, :2]
    masks, areas = None, boxes[:, 2] * boxes[:, 3]
    if kind == "mask":
        every = [mask for picture in pictures for mask in masks_of(picture)]
        masks = [every[place] for place in order.tolist()]
        areas = _mask_areas(masks)
    return Detections(groups[order], boxes, areas, masks, scores[order], ranks)


def _mask_areas(masks: list[RunLengths]) -> Numbers:
    """Returns the pixels of each mask."""
    # pycocotools 2.0.11 with numpy 2 refuses more than 255 masks at a time.
    parts = [
        coco_masks.area(masks[start : start + _AT_A_TIME])
        for start in range(0, len(masks), _AT_A_TIME)
    ]
    return np.concatenate([np.empty(0), *parts])


def _ranks(groups: Integers) -> Integers:
    """Returns the place of each row in its group."""
    first = np.searchsorted(groups, groups, side="left")
    ranks: Integers = np.arange(len(groups)) - first
    return ranks
