"""A small data set in COCO layout."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.config.detection_data import (
    COCODataConfig,
    DetectionEvaluationConfig,
    DetectionTrainConfig,
    ShortSideConfig,
)
from service.data.detection.splits import DetectionSplits, open_detection_splits

Document = dict[str, Any]

CATEGORIES = [{"id": 7, "name": "kite"}, {"id": 1, "name": "boat"}, {"id": 3, "name": "tree"}]
# Width and height; the third picture of each split is empty.
SIZES = [(64, 48), (48, 64), (60, 40), (40, 60), (64, 64), (56, 42), (42, 56), (64, 40)]


def rectangle(left: float, top: float, width: float, height: float) -> list[float]:
    right, bottom = left + width, top + height
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(number: int, picture: int, category: int, box: list[float]) -> Document:
    """An annotation with one polygon: its box."""
    return {
        "id": number,
        "image_id": picture,
        "category_id": category,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
        "segmentation": [rectangle(*box)],
    }


def runs(box: list[int], width: int, height: int) -> Document:
    """Uncompressed run lengths of a box that touches neither the left nor the upper border."""
    left, top, wide, high = box
    counts = [left * height + top, high]
    for _ in range(wide - 1):
        counts += [height - high, high]
    counts.append(width * height - sum(counts))
    return {"size": [height, width], "counts": counts}


def document(first: int, count: int) -> Document:
    """A COCO dictionary: picture ids from `first` on, one picture in `SIZES` after the other.

    Each picture but the third has two objects, a boat at (4, 6, 20, 12) and a kite at (26, 20, 12,
    16); the first has a crowd of trees at (30, 2, 8, 10), and a tree of two parts at (2, 30, 10, 8)
    and (2, 40, 10, 4). The second picture's kite is in run lengths.
    """
    images, annotations = [], []
    for place in range(count):
        width, height = SIZES[place]
        picture = first + place
        images.append(
            {"id": picture, "file_name": f"{picture:06d}.jpg", "width": width, "height": height}
        )
        if place != 2:
            number = 10 * picture
            annotations += [
                annotation(number, picture, 1, [4, 6, 20, 12]),
                annotation(number + 1, picture, 7, [26, 20, 12, 16]),
            ]
        if place == 0:
            crowd = annotation(number + 2, picture, 3, [30, 2, 8, 10])
            crowd |= {"iscrowd": 1, "segmentation": runs([30, 2, 8, 10], width, height)}
            tree = annotation(number + 3, picture, 3, [2, 30, 10, 14])
            tree |= {
                "segmentation": [rectangle(2, 30, 10, 8), rectangle(2, 40, 10, 4)],
                "area": 120,
            }
            annotations += [crowd, tree]
        if place == 1:
            annotations[-1]["segmentation"] = runs([26, 20, 12, 16], width, height)
    # Files need not keep annotations of a picture together.
    return {
        "images": images,
        "annotations": annotations[::2] + annotations[1::2],
        "categories": copy.deepcopy(CATEGORIES),
    }


def write_split(root: Path, split: str, content: Document) -> None:
    """Writes the annotation file and a picture of noise with bright objects for each entry."""
    folder = root / f"{split}2017"
    folder.mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    for entry in content["images"]:
        generator = np.random.default_rng(entry["id"])
        pixels = generator.integers(0, 60, (entry["height"], entry["width"], 3), dtype=np.uint8)
        for item in content["annotations"]:
            if item["image_id"] == entry["id"]:
                left, top, wide, high = item["bbox"]
                channel = [1, 3, 7].index(item["category_id"])
                pixels[top : top + high, left : left + wide, channel] += 180
        Image.fromarray(pixels).save(folder / entry["file_name"], quality=95)
    (root / f"annotations/instances_{split}2017.json").write_text(json.dumps(content))


def write_coco(root: Path) -> None:
    """Writes 8 training pictures, ids 1 to 8, and 5 evaluation pictures, ids 101 to 105."""
    write_split(root, "train", document(1, 8))
    write_split(root, "val", document(101, 5))


@pytest.fixture(scope="session")
def coco_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small set. Not to be changed."""
    root = tmp_path_factory.mktemp("coco") / "set"
    write_coco(root)
    return root


@pytest.fixture(scope="session")
def coco_config(coco_root: Path) -> COCODataConfig:
    """The small set at its own scale, evaluation batches of 2."""
    return COCODataConfig(
        root=str(coco_root),
        train=DetectionTrainConfig(scale=ShortSideConfig(sides=(48,), longest=96)),
        evaluation=DetectionEvaluationConfig(short_side=48, longest=96, batch_size=2),
    )


@pytest.fixture
def own_coco(tmp_path: Path) -> Path:
    """The small set, for one test to change."""
    write_coco(tmp_path / "set")
    return tmp_path / "set"


@pytest.fixture
def edited(own_coco: Path) -> Callable[[Callable[[Document], object]], Path]:
    """Returns a function that changes the training annotations and returns the set's root."""

    def edit(change: Callable[[Document], object]) -> Path:
        file = own_coco / "annotations/instances_train2017.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))
        return own_coco

    return edit


@pytest.fixture(scope="session")
def coco_splits(coco_config: COCODataConfig, coco_root: Path) -> DetectionSplits:
    """The small set, opened with masks."""
    return open_detection_splits(coco_config, coco_root.parent / "cache", masks=True)
