"""What a detector finds in pictures."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TextIO

from torch import Tensor

from service.config.coco import COCOConfig
from service.data.detection.coco import Category, PictureEntry
from service.data.packing import PackedStrings
from service.detection.drawings import annotated
from service.detection.evaluation.detections import PictureDetections, picture_detections
from service.detection.evaluation.results import Kind, coco_results
from service.detection.views import views_of
from service.inference.networks import Detector
from service.inference.output import IMAGES, LINES, TABLE, Drawn, picture_name
from service.inference.views import DetectionView, FileBatch, decode_file

_COLUMNS = (
    *("file", "image_id", "category", "category_id", "score"),
    *("left", "top", "right", "bottom"),
)


@dataclass(frozen=True)
class ObjectPrediction:
    """What was found in a picture."""

    entry: PictureEntry
    """The picture, numbered from 1 in the order of the files."""
    found: PictureDetections
    """In its own pixels."""
    drawn: Drawn | None
    """The picture with what was found, if it is wanted."""


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

    def _drawn(self, entry: PictureEntry, found: PictureDetections) -> Drawn | None:
        if self._score is None:
            return None
        names = {category.id: category.name for category in self._categories}
        content = annotated(decode_file(entry.file), found, names, score=self._score)
        return Drawn(picture_name(entry.id, entry.file), content)


class ObjectFiles:
    """Writes predictions as they come, for people and for COCO's tools, until it is closed.

    `images.json` is an annotation file without annotations: with it, pycocotools reads the results.

    Args:
        folder: Where.
        categories: The detector's.
        kinds: Box, or box and mask.
        form: JSON lines, one for each picture with its masks; or CSV, a row for each object.
    """

    def __init__(
        self,
        folder: Path,
        categories: tuple[Category, ...],
        kinds: tuple[Kind, ...],
        form: Literal["jsonl", "csv"],
    ) -> None:
        self._folder = folder
        self._names = {category.id: category.name for category in categories}
        # Names of files need not be text.
        self._stream = (folder / (LINES if form == "jsonl" else TABLE)).open(
            "w", encoding="utf-8", errors="surrogateescape", newline=""
        )
        self._table = csv.writer(self._stream) if form == "csv" else None
        if self._table is not None:
            self._table.writerow(_COLUMNS)
        self._results = {kind: _JSONArray(folder / f"detections_{kind}.json") for kind in kinds}
        self._images: list[dict[str, Any]] = []

    def close(self) -> None:
        """Ends the files."""
        self._stream.close()
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
        if self._table is None:
            line = {"file": entry.file, "image_id": entry.id, **size, "objects": objects}
            self._stream.write(json.dumps(line) + "\n")
        else:
            self._table.writerows(_row(entry, one) for one in objects)
        for kind, results in self._results.items():
            for result in coco_results([found], kind):
                results.add(result)
        if prediction.drawn is not None:
            prediction.drawn.write(self._folder)

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


def _row(entry: PictureEntry, found: dict[str, Any]) -> list[Any]:
    """Returns an object's row."""
    named = (found[name] for name in ("category", "category_id", "score"))
    return [entry.file, entry.id, *named, *found["box"]]


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
