"""What a detector finds in pictures."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from torch import Tensor

from service.config.coco import COCOConfig
from service.data.detection.coco import Category, PictureEntry
from service.data.packing import PackedStrings
from service.detection.drawings import annotated
from service.detection.evaluation.detections import PictureDetections, picture_detections
from service.detection.evaluation.results import Kind, coco_results
from service.detection.views import views_of
from service.inference.networks import Detector
from service.inference.output import IMAGES, LINES, PICTURES
from service.inference.views import DetectionView, FileBatch, decode_file

_STEM = 50  # letters of a file's name that a drawn picture keeps


@dataclass(frozen=True)
class ObjectPrediction:
    """What was found in a picture."""

    entry: PictureEntry
    """The picture, numbered from 1 in the order of the files."""
    found: PictureDetections
    """In its own pixels."""
    drawn: bytes | None
    """The picture with what was found, PNG, if it is wanted."""


class ObjectPredictor:
    """Finds objects in pictures.

    Args:
        detector: The network.
        files: Paths of the pictures.
        score: Least score of what is drawn; None draws nothing.
    """

    def __init__(self, detector: Detector, files: PackedStrings, score: float | None) -> None:
        config = detector.trained.config
        if not isinstance(config, COCOConfig):
            raise TypeError("a classifier finds no objects")
        self.network = detector
        self.view = DetectionView(config.data.evaluation)
        self._files = files
        self._score = score
        self._categories = detector.trained.categories

    def answer(self, batch: FileBatch) -> list[Callable[[], ObjectPrediction]]:
        """Finds objects in a batch; masks are left to encode, and pictures to draw."""
        if batch.views is None:
            return []
        found = self.network.detect(views_of(batch.views.to(self.network.device)))
        places = batch.views.indices.tolist()
        rows = zip(places, batch.sizes, batch.views.sizes, found, strict=True)
        return [partial(self._prediction, *row) for row in rows]

    def _prediction(
        self, place: int, size: tuple[int, int], view: tuple[int, int], found: dict[str, Tensor]
    ) -> ObjectPrediction:
        entry = PictureEntry(place + 1, self._files[place], width=size[1], height=size[0])
        ids = [category.id for category in self._categories]
        detections = picture_detections(found, entry, view, ids)
        return ObjectPrediction(entry, detections, self._drawn(entry, detections))

    def _drawn(self, entry: PictureEntry, found: PictureDetections) -> bytes | None:
        if self._score is None:
            return None
        names = {category.id: category.name for category in self._categories}
        return annotated(decode_file(entry.file), found, names, score=self._score)


class ObjectFiles:
    """Writes predictions as they come, for people and for COCO's tools; as a context manager.

    `images.json` is an annotation file without annotations: with it, pycocotools reads the results.

    Args:
        folder: Where.
        categories: The detector's.
        kinds: Box, or box and mask.
    """

    def __init__(
        self, folder: Path, categories: tuple[Category, ...], kinds: tuple[Kind, ...]
    ) -> None:
        self._folder = folder
        self._names = {category.id: category.name for category in categories}
        self._lines = (folder / LINES).open("w", encoding="utf-8")
        self._results = {kind: _JSONArray(folder / f"detections_{kind}.json") for kind in kinds}
        self._images: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lines.close()
        for results in self._results.values():
            results.close()
        categories = [{"id": one, "name": name} for one, name in self._names.items()]
        content = {"images": self._images, "annotations": [], "categories": categories}
        (self._folder / IMAGES).write_text(json.dumps(content), encoding="utf-8")

    def write(self, prediction: ObjectPrediction) -> None:
        """Writes what was found in one picture."""
        entry, found = prediction.entry, prediction.found
        size = {"width": entry.width, "height": entry.height}
        self._images.append({"id": entry.id, "file_name": entry.file, **size})
        objects = self._objects(found)
        line = {"file": entry.file, "image_id": entry.id, **size, "objects": objects}
        self._lines.write(json.dumps(line) + "\n")
        for kind, results in self._results.items():
            for result in coco_results([found], kind):
                results.add(result)
        if prediction.drawn is not None:
            (self._folder / PICTURES).mkdir(exist_ok=True)
            name = f"{entry.id:06d}_{Path(entry.file).stem[:_STEM]}.png"
            (self._folder / PICTURES / name).write_bytes(prediction.drawn)

    def _objects(self, found: PictureDetections) -> list[dict[str, Any]]:
        rows = zip(
            found.boxes.tolist(), found.categories.tolist(), found.scores.tolist(), strict=True
        )
        objects: list[dict[str, Any]] = [
            {"box": box, "category": self._names[one], "category_id": one, "score": score}
            for box, one, score in rows
        ]
        for one, mask in zip(objects, found.masks or [], strict=found.masks is not None):
            one["mask"] = {"size": mask["size"], "counts": mask["counts"].decode("ascii")}
        return objects


class _JSONArray:
    """A JSON file of one list, which need not be in memory.

    Args:
        file: The file.
    """

    def __init__(self, file: Path) -> None:
        self._stream: TextIO = file.open("w", encoding="utf-8")
        self._separator = "["

    def add(self, entry: dict[str, Any]) -> None:
        """Writes an entry."""
        self._stream.write(self._separator + json.dumps(entry, allow_nan=False))
        self._separator = ",\n"

    def close(self) -> None:
        """Ends the list."""
        self._stream.write("[]" if self._separator == "[" else "]")
        self._stream.close()
