"""What one worker contributes to an evaluation: the verdicts on its pictures' detections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.detection.evaluation.accumulation import Verdicts
from service.detection.evaluation.detections import PictureDetections
from service.detection.evaluation.matching import AREA_RANGES, THRESHOLDS, Matches, match
from service.detection.evaluation.regions import (
    Detections,
    Integers,
    Numbers,
    Objects,
    detections_of,
    objects_of,
)
from service.detection.evaluation.report import quality
from service.detection.evaluation.results import Kind

CERTAIN = 0.5
"""Score from which a detection counts for the quality of a picture."""


@dataclass(frozen=True)
class Share:
    """The verdicts on some pictures' detections of one kind, small enough to send."""

    pictures: Integers
    """(n,), picture ids."""
    categories: Integers
    """(n,), places among the ascending category ids."""
    ranks: Integers
    """(n,), place by score in the picture and category."""
    scores: Numbers
    """(n,)."""
    right: NDArray[np.uint8]
    """(n, A · T / 8), bits of `Matches.right`."""
    wrong: NDArray[np.uint8]
    """(n, A · T / 8), bits of `Matches.wrong`."""
    objects: Integers
    """Objects that count, (K, A)."""
    quality: dict[int, float]
    """By picture id, see `EvaluationReport.quality`."""


def share_of(
    truth: Mapping[str, Any], own: Sequence[PictureDetections], categories: Integers, kind: Kind
) -> Share:
    """Matches a worker's detections.

    Args:
        truth: The COCO dictionary.
        own: The detections in the worker's pictures.
        categories: All category ids, ascending.
        kind: What is compared.
    """
    own = sorted(own, key=lambda picture: picture.picture_id)
    ids = np.array([picture.picture_id for picture in own], dtype=np.int64)
    places = {one: place for place, one in enumerate(ids.tolist())}
    images = {one["id"]: one for one in truth["images"]}
    # Only masks made of outlines need sizes, and only they require them of the file.
    sizes = [
        (images[one]["height"], images[one]["width"]) if kind == "mask" else (0, 0)
        for one in places
    ]
    annotations = [one for one in truth["annotations"] if one["image_id"] in places]
    objects = objects_of(annotations, sizes, places, categories, kind)
    detections = detections_of(own, categories, kind)
    matches = match(detections, objects)
    return Share(
        pictures=ids[detections.groups // len(categories)],
        categories=detections.groups % len(categories),
        ranks=detections.ranks,
        scores=detections.scores,
        right=_packed(matches.right),
        wrong=_packed(matches.wrong),
        objects=_counted(objects, matches, len(categories)),
        quality=_qualities(ids, detections, objects, matches, len(categories)),
    )


def verdicts_of(shares: Sequence[Share]) -> Verdicts:
    """Returns the verdicts of all workers' shares together."""
    return Verdicts(
        pictures=np.concatenate([share.pictures for share in shares]),
        categories=np.concatenate([share.categories for share in shares]),
        ranks=np.concatenate([share.ranks for share in shares]),
        scores=np.concatenate([share.scores for share in shares]),
        right=_unpacked([share.right for share in shares]),
        wrong=_unpacked([share.wrong for share in shares]),
    )


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(bits.reshape(len(bits), len(AREA_RANGES) * len(THRESHOLDS)), axis=1)


def _unpacked(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    packed = np.concatenate(parts)
    shape = (len(packed), len(AREA_RANGES), len(THRESHOLDS))
    bits = np.unpackbits(packed, axis=1, count=shape[1] * shape[2])
    return bits.view(np.bool_).reshape(shape)


def _counted(objects: Objects, matches: Matches, categories: int) -> Integers:
    """Returns how many objects count, by category and range of areas."""
    counts = np.zeros((categories, len(AREA_RANGES)), dtype=np.int64)
    np.add.at(counts, objects.groups % categories, ~matches.ignored)
    return counts


def _qualities(
    ids: Integers, detections: Detections, objects: Objects, matches: Matches, categories: int
) -> dict[int, float]:
    """Returns the quality of each picture: at the lowest threshold, objects of all sizes."""
    certain = detections.scores >= CERTAIN
    places = detections.groups // categories
    right = np.bincount(places[certain & matches.right[:, 0, 0]], minlength=len(ids))
    wrong = np.bincount(places[certain & matches.wrong[:, 0, 0]], minlength=len(ids))
    counting = objects.groups[~matches.ignored[:, 0]] // categories
    present = np.bincount(counting, minlength=len(ids))
    rows = zip(ids.tolist(), right.tolist(), wrong.tolist(), present.tolist(), strict=True)
    return {one: quality(*counts) for one, *counts in rows}
