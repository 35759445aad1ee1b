"""What is fuzzed: real files, and the paths of the service that read them."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mutations import Generator, changed_json, mutant
from PIL import Image

from service.config.data import EvaluationPicturesConfig, PicturesConfig, TrainPicturesConfig
from service.config.detection_data import DrawnScenesConfig
from service.config.errors import ConfigurationError
from service.data.augmentation import EvaluationView, TrainingView
from service.data.decoding import DamagedPictureError, decode, decode_excerpt
from service.data.detection.orientation import decode_annotated
from service.data.detection.reading import read_detection_set
from service.data.detection.scenes import draw_scenes
from service.data.detection.segmentations import masks_of
from service.data.drawing.rendering import render
from service.data.drawing.scene import draw_scene
from service.data.headers import declared_size

_SIDE = 64
_LARGEST = 500_000  # bytes of a real file: larger ones are slow and no other
_PICTURES = PicturesConfig(
    train=TrainPicturesConfig(size=_SIDE),
    evaluation=EvaluationPicturesConfig(resize=_SIDE + 8, size=_SIDE),
)
_AREA = 2**20  # pixels of the largest masks that are drawn
_LONGEST = 2000  # characters of a message


class Pictures:
    """The picture path: header, decoding, training view, evaluation view, annotated picture.

    Args:
        data: Folder with real pictures to take besides the drawn ones.
        scratch: Not used: nothing is written.
    """

    def __init__(self, data: Path | None, scratch: Path) -> None:
        self._files = [*drawn_files(), *(real_files(data, (".jpg", ".jpeg")) if data else ())]
        self._training = TrainingView(_PICTURES)
        self._evaluation = EvaluationView(_PICTURES)

    def mutant(self, generator: Generator) -> bytes:
        """Returns a damaged file."""
        return mutant(generator, self._files)

    def outcome(self, content: bytes) -> str:
        """Reads a file in every way; returns how it ended. Anything else is raised."""
        size = None
        try:
            size = declared_size(content)
        except ValueError as error:
            _check(error)
        try:
            picture = decode(content)
        except DamagedPictureError as error:
            _check(error)
            return "damaged"
        assert size is not None
        assert picture.dtype == torch.uint8
        assert picture.ndim == 3
        assert picture.shape[0] == 3
        assert sorted(picture.shape[1:]) == sorted(size[:2])
        for view in (self._training, self._evaluation):
            for made in (view(picture), decode_excerpt(content, view.plan)):
                assert made.shape == (3, _SIDE, _SIDE)
                assert made.dtype == torch.uint8
        return self._annotated(content, size[0], size[1])

    def _annotated(self, content: bytes, width: int, height: int) -> str:
        try:
            picture = decode_annotated(content, width, height)
        except DamagedPictureError as error:
            # A damaged EXIF block that the decoder follows and Pillow does not.
            _check(error)
            return "turned otherwise"
        assert picture.shape == (3, height, width)
        return "picture"


class Annotations:
    """The annotation path: a COCO file, its check, its ground truth and its masks.

    Args:
        data: Folder with real annotation files to take besides a drawn one.
        scratch: Folder for pictures and files.
    """

    def __init__(self, data: Path | None, scratch: Path) -> None:
        root = scratch / "scenes"
        draw_scenes(root, DrawnScenesConfig(train_pictures=6, evaluation_pictures=1))
        self._folder = root / "train2017"
        self._file = root / "annotations/fuzzed.json"
        files = [root / "annotations/instances_train2017.json"]
        self._sources = [json.loads(file.read_bytes()) for file in files]
        for content in real_files(data, (".json",)) if data else ():
            self._sources.append(_fewer(json.loads(content), self._folder))
        self._texts = [json.dumps(source).encode() for source in self._sources]

    def mutant(self, generator: Generator) -> bytes:
        """Returns a damaged file: three of four times still JSON."""
        if generator.random() < 0.25:
            return mutant(generator, self._texts)
        source = self._sources[generator.integers(len(self._sources))]
        return json.dumps(changed_json(generator, source)).encode()

    def outcome(self, content: bytes) -> str:
        """Reads a file as training and evaluation do; returns how it ended."""
        self._file.write_bytes(content)
        try:
            found = read_detection_set(self._file, self._folder, masks=True, most_missing=0.9)
        except ConfigurationError as error:
            _check(error)
            return "refused"
        assert len(found.ground_truth()["images"]) == len(found)
        found.digest()
        for index, entry in enumerate(found.pictures):
            boxes, _, segmentations = found.annotations(index)
            assert np.isfinite(boxes).all()
            if entry.width * entry.height <= _AREA:
                masks = masks_of(segmentations, entry.height, entry.width)
                assert masks.shape == (len(boxes), entry.height, entry.width)
                assert masks.max(initial=0) <= 1
        return "read" if not found.findings else "read with findings"


TARGETS: dict[str, Callable[[Path | None, Path], Pictures | Annotations]] = {
    "pictures": Pictures,
    "annotations": Annotations,
}


def _check(error: Exception) -> None:
    """Checks that a message is one line that can be shown."""
    message = str(error)
    assert message
    assert message.isprintable(), message
    assert len(message) < _LONGEST


def real_files(data: Path, suffixes: tuple[str, ...]) -> Iterator[bytes]:
    """Yields up to 40 files below a folder, evenly spread over their names."""
    files = sorted(path for path in data.rglob("*") if path.suffix.lower() in suffixes)
    files = [path for path in files if path.stat().st_size <= _LARGEST]
    for path in files[:: max(1, len(files) // 40)][:40]:
        yield path.read_bytes()


def _fewer(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Returns a COCO document of few pictures, which are called like those in a folder."""
    names = sorted(path.name for path in folder.iterdir())
    images = [
        image | {"file_name": name} for image, name in zip(document["images"], names, strict=False)
    ]
    ids = {image["id"] for image in images}
    annotations = [row for row in document["annotations"] if row["image_id"] in ids]
    return {
        "images": images,
        "annotations": annotations,
        "categories": document["categories"],
    }


def drawn_files() -> list[bytes]:
    """Returns drawn pictures in every format that is read, one to three of each."""
    pixels = [
        render(draw_scene("disc", side, np.random.default_rng(side))) for side in (48, 96, 160)
    ]
    exif = Image.Exif()
    exif[0x0112] = 6
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("JPEG", "RGB", {"quality": 90}),
        ("JPEG", "RGB", {"progressive": True, "exif": exif}),
        ("JPEG", "RGB", {"optimize": True, "restart_marker_rows": 1}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {"exif": exif}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {}),
        ("PNG", "I;16", {}),
        ("WEBP", "RGB", {"exif": exif}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("GIF", "P", {}),
        ("AVIF", "RGB", {"exif": exif}),
    ]
    return [_encoded(picture, *way) for way in ways for picture in pixels]


def _encoded(pixels: Any, kind: str, mode: str, options: dict[str, Any]) -> bytes:  # noqa: ANN401  # an array of Pillow's
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    more = [picture.rotate(90)] * 2 if kind == "GIF" else []
    animated = {"save_all": True, "append_images": more} if more else {}
    picture.save(buffer, kind, **options, **animated)
    return buffer.getvalue()
