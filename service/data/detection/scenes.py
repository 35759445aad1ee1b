"""Drawn scenes on disk, in COCO layout."""

import hashlib
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.config.detection_data import DrawnScenesConfig
from service.data.detection import scene_annotations
from service.data.detection.scene_annotations import annotate
from service.data.drawing import rendering, scene, several, shapes, visibility
from service.data.drawing.rendering import render
from service.data.drawing.several import draw_gathering
from service.data.drawing.shapes import SHAPES
from service.storage.atomic import whole_folder

_QUALITY = 90  # of the JPEG files


def scenes_root(cache: Path, config: DrawnScenesConfig) -> Path:
    """Returns the folder of a drawn set; sets that differ have different folders.

    The programs that draw count among the parameters, so no set outlives a change of them.
    """
    parameters = (
        _QUALITY,
        config.classes,
        config.train_pictures,
        config.evaluation_pictures,
        config.picture_size,
        config.drawing_seed,
    )
    digest = hashlib.blake2b(json.dumps(parameters).encode(), digest_size=6)
    for program in (shapes, scene, rendering, visibility, several, scene_annotations):
        digest.update(inspect.getsource(program).encode())
    return cache / f"scenes-{digest.hexdigest()}"


def draw_scenes(root: Path, config: DrawnScenesConfig) -> None:
    """Draws `train2017/`, `val2017/` and their `annotations/` under `root`, unless it is there.

    The folder appears whole or not at all. Several processes may draw it at the same time: the
    first to finish wins.
    """
    if root.is_dir():
        return
    with whole_folder(root) as partial:
        (partial / "annotations").mkdir()
        _draw_split(partial, "train2017", config.train_pictures, config)
        _draw_split(partial, "val2017", config.evaluation_pictures, config)


def _draw_split(root: Path, split: str, count: int, config: DrawnScenesConfig) -> None:
    """Draws one split. A picture depends on the seed, the split and its number alone."""
    (root / split).mkdir()
    classes = tuple(SHAPES)[: config.classes]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        generator = np.random.default_rng((config.drawing_seed, split == "val2017", number))
        gathering = draw_gathering(number, classes, config.picture_size, generator)
        name = f"{number:06d}.jpg"
        _save(root / split / name, render(gathering.scene))
        width, height = gathering.scene.width, gathering.scene.height
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for annotation in annotate(gathering, classes):
            own = {"id": len(annotations) + 1, "image_id": number}
            annotations.append(own | annotation)
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(classes)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    file = root / f"annotations/instances_{split}.json"
    file.write_text(json.dumps(document), encoding="utf-8")


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(path, quality=_QUALITY)
