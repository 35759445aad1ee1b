"""The pictures on which an export is compared with its network."""

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from service.classification.checking import datasets_folder
from service.config.coco import COCOConfig
from service.config.data import DataConfig, DrawnDataConfig
from service.config.errors import ConfigurationError
from service.config.small_data import SmallDataConfig
from service.data.decoded import DecodedPictures
from service.data.decoding import DamagedPictureError, decode
from service.data.drawing.rendering import render
from service.data.drawing.scene import draw_scene
from service.data.drawing.shapes import SHAPES
from service.data.drawing.tree import drawn_root
from service.data.packing import PackedStrings
from service.data.pictures import PictureSet
from service.data.splits import Splits, open_splits
from service.inference.trained import Trained, storage_folder
from service.inference.views import DetectionView, classification_view

MOST = 32
"""Pictures that are compared; of more, these are spread evenly over them."""
LEAST = 13
"""Fewer are repeated, so that there are batches of all sizes."""

Warn = Callable[[str], None]
"""Shows a line to people."""

_DRAWN_SIDE = 160
_DETECTIONS = 4  # pictures that a detector is compared on


@dataclass(frozen=True)
class Samples:
    """Pictures as files and as the network sees them."""

    encoded: tuple[bytes, ...]
    """Files."""
    views: Tensor
    """uint8 (n, 3, S, S)."""
    source: str
    """Where they are from."""


def samples(trained: Trained, files: PackedStrings | None, warn: Warn) -> Samples:
    """Returns the files' pictures, or else the run's evaluation pictures, or else drawn ones.

    Args:
        trained: A classifier.
        files: Paths of pictures.
        warn: Shows a line to people.

    Raises:
        ConfigurationError: None of the files can be used.
    """
    config = trained.config
    if isinstance(config, COCOConfig):
        raise TypeError("a detector is no classifier")
    view = classification_view(config.data)
    if files is not None:
        return _sampled(_given(files, warn), view, _source(files), warn)
    try:
        return _of_the_run(config.data, storage_folder(config), view, warn)
    except ConfigurationError as error:
        warn(f"the run's evaluation pictures are not here, so drawn ones are compared ({error})")
        return _sampled(_drawn(), view, "drawn pictures", warn)


def detection_views(trained: Trained, files: PackedStrings | None, warn: Warn) -> list[Tensor]:
    """Returns views of some of the files' pictures, or else of drawn ones, uint8 (3, h, w).

    Raises:
        ConfigurationError: None of the files can be used.
    """
    config = trained.config
    if not isinstance(config, COCOConfig):
        raise TypeError("a classifier finds no objects")
    found = _drawn() if files is None else _given(files, warn)
    source = "drawn pictures" if files is None else _source(files)
    views = _usable(islice(found, _DETECTIONS), DetectionView(config.data.evaluation), source, warn)
    return [view for _, view in views]


def _of_the_run(
    config: DataConfig | SmallDataConfig,
    storage: Path,
    view: Callable[[Tensor], Tensor],
    warn: Warn,
) -> Samples:
    with tempfile.TemporaryDirectory() as scratch:
        pictures = _opened(config, datasets_folder(storage), Path(scratch)).evaluation
        found = (
            _encoded(pictures) if isinstance(pictures, DecodedPictures) else _read_from(pictures)
        )
        return _sampled(found, view, f"evaluation pictures, {pictures.source}", warn)


def _opened(config: DataConfig | SmallDataConfig, kept: Path, scratch: Path) -> Splits:
    """Opens the data, and leaves nothing behind where no run has left anything."""
    if isinstance(config, DrawnDataConfig) and not drawn_root(kept, config).is_dir():
        few = {"train_pictures": config.classes, "evaluation_pictures": MOST}
        return open_splits(config.model_copy(update=few), scratch)
    return open_splits(config, kept if kept.is_dir() else scratch)


def _sampled(
    files: Iterable[tuple[str, bytes]], view: Callable[[Tensor], Tensor], source: str, warn: Warn
) -> Samples:
    found = _usable(files, view, source, warn)
    repeated = [found[place % len(found)] for place in range(max(len(found), LEAST))]
    encoded, views = zip(*repeated, strict=True)
    return Samples(encoded, torch.stack(views).contiguous(), source)


def _usable(
    files: Iterable[tuple[str, bytes]], view: Callable[[Tensor], Tensor], source: str, warn: Warn
) -> list[tuple[bytes, Tensor]]:
    """Returns the files that can be used and their views."""
    found = []
    for name, content in files:
        try:
            found.append((content, view(decode(content))))
        except DamagedPictureError as error:
            warn(f"{name} cannot be used: {error}")
    if not found:
        raise ConfigurationError(f"{source}: none can be used; give others")
    return found


def _source(files: PackedStrings) -> str:
    return f"{min(len(files), MOST)} of {len(files)} given pictures"


def _given(files: PackedStrings, warn: Warn) -> Iterator[tuple[str, bytes]]:
    for file in (files[place] for place in _spread(len(files))):
        try:
            yield file, Path(file).read_bytes()
        except OSError as error:
            warn(f"{file} cannot be used: {error.strerror}")


def _read_from(pictures: PictureSet) -> Iterator[tuple[str, bytes]]:
    for place in _spread(len(pictures)):
        yield pictures.name(place), pictures.read(place)


def _encoded(pictures: DecodedPictures) -> Iterator[tuple[str, bytes]]:
    for place in _spread(len(pictures)):
        yield f"picture {place}", _png(pictures.pictures[place].transpose(1, 2, 0))


def _drawn() -> Iterator[tuple[str, bytes]]:
    shapes = tuple(SHAPES)
    for number in range(MOST):
        scene = draw_scene(shapes[number % len(shapes)], _DRAWN_SIDE, np.random.default_rng(number))
        yield f"drawing {number}", _png(render(scene))


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()


def _spread(count: int) -> list[int]:
    """Returns at most `MOST` places, evenly spread."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, MOST))})
