"""Detections in COCO's results format, as its server and pycocotools' `loadRes` take them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from service.detection.evaluation.detections import PictureDetections
from service.detection.evaluation.run_lengths import RunLengths
from service.storage.atomic import whole_file

Kind = Literal["box", "mask"]
"""What is compared with the ground truth."""


def coco_results(pictures: Iterable[PictureDetections], kind: Kind) -> list[dict[str, Any]]:
    """Returns one dictionary for each detection.

    Results for boxes and for masks are separate lists, as COCO has them: where an entry has both,
    pycocotools takes the box's area for the mask's, and small objects become others.

    Args:
        pictures: The detections.
        kind: `box` for entries with a `bbox` (left, top, width, height), `mask` for entries with a
            `segmentation` (compressed run lengths).

    Raises:
        ValueError: Masks are asked for and a picture's detections have none.
    """
    results = []
    for picture in pictures:
        regions = _regions(picture, kind)
        common = zip(picture.categories.tolist(), picture.scores.tolist(), regions, strict=True)
        results += [
            {"image_id": picture.picture_id, "category_id": category, "score": score} | region
            for category, score, region in common
        ]
    return results


def write_results(pictures: Iterable[PictureDetections], kind: Kind, file: Path) -> None:
    """Writes detections as JSON; the file appears whole or not at all.

    Numbers keep all their digits, so that an evaluation of the file gives the same figures.

    Args:
        pictures: The detections of all workers.
        kind: See `coco_results`.
        file: The file to write.
    """
    with whole_file(file) as partial, partial.open("w", encoding="utf-8") as stream:
        json.dump(coco_results(pictures, kind), stream, allow_nan=False)


def masks_of(picture: PictureDetections) -> list[RunLengths]:
    """Returns the masks of a picture's detections.

    Raises:
        ValueError: There are detections and no masks.
    """
    if picture.masks is None and len(picture):
        raise ValueError(f"the detections of picture {picture.picture_id} have no masks")
    return picture.masks or []


def _regions(picture: PictureDetections, kind: Kind) -> list[dict[str, Any]]:
    if kind == "box":
        boxes = picture.boxes.copy()
        boxes[:, 2:] -= boxes[:, :2]
        return [{"bbox": box} for box in boxes.tolist()]
    return [
        {"segmentation": {"size": mask["size"], "counts": mask["counts"].decode("ascii")}}
        for mask in masks_of(picture)
    ]
