"""Drawn pictures as a folder tree, as ImageNet has it."""

import hashlib
import inspect
import json
from pathlib import Path

import numpy as np
from PIL import Image

from service.config.data import DrawnDataConfig
from service.config.errors import ConfigurationError
from service.data.drawing import rendering, scene, shapes
from service.data.drawing.rendering import render
from service.data.drawing.scene import draw_scene
from service.data.drawing.shapes import SHAPES
from service.storage.atomic import whole_folder

_QUALITY = 90  # of the JPEG files


def drawn_root(cache: Path, config: DrawnDataConfig) -> Path:
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
    for program in (shapes, scene, rendering):
        digest.update(inspect.getsource(program).encode())
    return cache / f"drawn-{digest.hexdigest()}"


def draw_pictures(root: Path, config: DrawnDataConfig) -> None:
    """Draws `train/<class>/*.jpg` and `val/<class>/*.jpg` under `root`, unless `root` is there.

    The folder appears whole or not at all. Several processes may draw it at the same time: the
    first to finish wins. Classes take turns, so each has as many pictures, give or take one.

    Raises:
        ConfigurationError: There are fewer training pictures than classes.
    """
    if config.train_pictures < config.classes:
        raise ConfigurationError(
            f"data.train_pictures: {config.train_pictures} pictures cannot show "
            f"{config.classes} classes; take at least as many"
        )
    if root.is_dir():
        return
    with whole_folder(root) as partial:
        for split, count in (("train", config.train_pictures), ("val", config.evaluation_pictures)):
            _draw_split(partial / split, count, config)


def _draw_split(folder: Path, count: int, config: DrawnDataConfig) -> None:
    """Draws one split. A picture depends on the seed, the split and its number alone."""
    classes = tuple(SHAPES)[: config.classes]
    for shape in classes:
        (folder / shape).mkdir(parents=True)
    for number in range(count):
        shape = classes[number % len(classes)]
        generator = np.random.default_rng((config.drawing_seed, folder.name == "val", number))
        pixels = render(draw_scene(shape, config.picture_size, generator))
        path = folder / shape / f"{number:06d}.jpg"
        Image.fromarray(pixels).save(path, quality=_QUALITY)
