"""Ground truth in COCO's layout and detections of it, made up to measure and test evaluation."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from service.config.errors import ConfigurationError
from service.detection.evaluation.detections import PictureDetections
from service.detection.evaluation.run_lengths import RunLengths

Numbers = NDArray[np.float64]

CATEGORIES = 80
"""As many as COCO has."""
_OBJECTS = 8.0  # mean objects in a picture: 36,781 in COCO's 5,000 validation pictures
_CROWDED = 0.02
_WIDTH, _HEIGHT = 640, 480
_CORNERS = 24


def made_up_truth(pictures: int, seed: int) -> dict[str, Any]:
    """Returns a COCO dictionary of pictures with outlined objects, some of them crowds.

    A part of the pictures is empty; sizes spread over COCO's small, medium and large; the first
    categories have most objects.
    """
    draw = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    for picture in range(1, pictures + 1):
        present = np.sort(draw.choice(CATEGORIES, 3, p=_shares(), replace=False)) + 1
        for _ in range(draw.poisson(_OBJECTS) if draw.random() > 0.05 else 0):
            entry = _object(draw) | {"image_id": picture, "category_id": int(draw.choice(present))}
            annotations.append(entry | {"id": len(annotations) + 1})
    return {
        "images": [
            {"id": picture, "width": _WIDTH, "height": _HEIGHT, "file_name": f"{picture}.jpg"}
            for picture in range(1, pictures + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": one, "name": f"kind {one}"} for one in range(1, CATEGORIES + 1)],
    }


def read_truth(file: Path) -> dict[str, Any]:
    """Returns the pictures, annotations and categories of a COCO annotation file.

    Raises:
        ConfigurationError: It cannot be read or is no such file.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        truth = {name: content[name] for name in ("images", "annotations", "categories")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{file}: not a COCO annotation file: {error!r}") from error
    if not truth["images"]:
        raise ConfigurationError(f"{file}: it lists no pictures")
    return truth


def repeated_truth(truth: Mapping[str, Any], pictures: int) -> dict[str, Any]:
    """Returns so many pictures, those of a COCO dictionary over and over under new ids."""
    by_picture: dict[int, list[dict[str, Any]]] = {one["id"]: [] for one in truth["images"]}
    for annotation in truth["annotations"]:
        by_picture[annotation["image_id"]].append(annotation)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, pictures + 1):
        image = truth["images"][(number - 1) % len(truth["images"])]
        images.append(image | {"id": number})
        for annotation in by_picture[image["id"]]:
            annotations.append(annotation | {"id": len(annotations) + 1, "image_id": number})
    categories = truth["categories"]
    return {"images": images, "annotations": annotations, "categories": categories}


def jittered_detections(
    truth: Mapping[str, Any], per_picture: int, seed: int, *, masks: bool
) -> list[PictureDetections]:
    """Returns detections as of a middling detector: objects moved and stretched.

    Each is an object of its picture, moved by between nothing and a third of its size, one in ten
    of another category. Scores fall with the distance and have two decimals, so that many are
    equal. Pictures without objects get a few detections of nothing, or none.

    Args:
        truth: The COCO dictionary.
        per_picture: Mean detections of a picture that has objects.
        seed: Seed of what is drawn.
        masks: Whether detections have masks.
    """
    draw = np.random.default_rng(seed)
    ids = np.array([one["id"] for one in truth["categories"]], dtype=np.int64)
    objects: dict[int, list[dict[str, Any]]] = {one["id"]: [] for one in truth["images"]}
    for annotation in truth["annotations"]:
        objects[annotation["image_id"]].append(annotation)
    found = []
    for image in truth["images"]:
        present = objects[image["id"]] or [_object(draw) | {"category_id": int(ids[0])}]
        mean = per_picture if objects[image["id"]] else 1
        chosen = [present[k] for k in draw.integers(len(present), size=draw.poisson(mean))]
        found.append(_picture(draw, image, chosen, ids, masks=masks))
    return found


def _picture(
    draw: Generator,
    image: Mapping[str, Any],
    chosen: list[dict[str, Any]],
    ids: NDArray[np.int64],
    *,
    masks: bool,
) -> PictureDetections:
    count = len(chosen)
    boxes = np.array([one["bbox"] for one in chosen], dtype=np.float64).reshape(count, 4)
    strength = draw.uniform(0, 0.33, count)
    moves = draw.normal(size=(count, 2)) * strength[:, None] * boxes[:, 2:]
    stretches = np.exp(draw.normal(size=(count, 2)) * strength[:, None])
    moved = np.concatenate([boxes[:, :2] + moves, boxes[:, 2:] * stretches], axis=1)
    moved[:, 2:] += moved[:, :2]
    limits = np.array([image["width"], image["height"]] * 2)
    moved = np.clip(moved, 0, limits)
    certainty = 1 - 2 * strength + 0.2 * draw.normal(size=count)
    scores = np.clip(certainty, 0.05, 1).round(2)
    categories = np.array([one["category_id"] for one in chosen], dtype=np.int64)
    wrong = draw.random(count) < 0.1
    categories[wrong] = draw.choice(ids, wrong.sum())
    order = np.argsort(-scores, kind="stable")
    encoded = None
    if masks:
        encoded = [_mask(chosen[place], boxes[place], moved[place], image) for place in order]
    return PictureDetections(image["id"], moved[order], scores[order], categories[order], encoded)


def _mask(
    annotation: Mapping[str, Any], box: Numbers, moved: Numbers, image: Mapping[str, Any]
) -> RunLengths:
    """Returns the outline of an object moved with its box; a crowd becomes the box."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)
    if isinstance(annotation["segmentation"], list):
        outline = np.array(max(annotation["segmentation"], key=len), dtype=np.float64)
        corners = (outline.reshape(-1, 2) - box[:2]) / np.maximum(box[2:], 1e-6)
    placed = moved[:2] + corners * (moved[2:] - moved[:2])
    parts = coco_masks.frPyObjects([placed.ravel().tolist()], image["height"], image["width"])
    mask: RunLengths = parts[0]
    return mask


def _shares() -> Numbers:
    """Returns how frequent each category is: half as frequent as the one eight places before."""
    weights = 0.5 ** (np.arange(CATEGORIES) / 8)
    shares: Numbers = weights / weights.sum()
    return shares


def _object(draw: Generator) -> dict[str, Any]:
    """Returns an object: a star-shaped outline, or a crowd as uncompressed run lengths."""
    width = float(np.clip(np.exp(draw.normal(4.2, 0.9)), 4, _WIDTH - 1))
    height = float(np.clip(width * np.exp(draw.normal(0, 0.4)), 4, _HEIGHT - 1))
    left, top = draw.uniform(0, _WIDTH - width), draw.uniform(0, _HEIGHT - height)
    if draw.random() < _CROWDED:
        return _crowd(int(left), int(top), int(width), int(height))
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    radii = draw.uniform(0.6, 1, _CORNERS) / 2
    x = left + width * (0.5 + radii * np.cos(angles))
    y = top + height * (0.5 + radii * np.sin(angles))
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    return {
        "bbox": [left, top, width, height],
        "area": float(area),
        "iscrowd": 0,
        "segmentation": [np.stack([x, y], axis=1).ravel().tolist()],
    }


def _crowd(left: int, top: int, width: int, height: int) -> dict[str, Any]:
    gap = _HEIGHT - height
    counts = [left * _HEIGHT + top, *([height, gap] * width)[:-1]]
    counts.append(_WIDTH * _HEIGHT - sum(counts))
    return {
        "bbox": [float(left), float(top), float(width), float(height)],
        "area": float(width * height),
        "iscrowd": 1,
        "segmentation": {"size": [_HEIGHT, _WIDTH], "counts": counts},
    }
