"""What a classifier says of pictures."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from service.config.coco import COCOConfig
from service.data.packing import PackedStrings
from service.inference.captions import captioned
from service.inference.networks import Classifier
from service.inference.output import LINES, TABLE, Drawn, picture_name
from service.inference.views import FileBatch, classification_view, decode_file

BEST = 5
"""Classes that are named for each picture."""


@dataclass(frozen=True)
class ClassPrediction:
    """The likeliest classes of a picture."""

    file: str
    """Its path."""
    best: tuple[tuple[str, float], ...]
    """Name and probability, the likeliest first."""
    drawn: Drawn | None
    """The picture with them, if it is wanted."""


class ClassPredictor:
    """Names what pictures show.

    Args:
        classifier: The network.
        files: Paths of the pictures.
        draw: Whether the classes are written below each picture.
    """

    def __init__(self, classifier: Classifier, files: PackedStrings, *, draw: bool) -> None:
        config = classifier.trained.config
        if isinstance(config, COCOConfig):
            raise TypeError("a detector names no classes")
        self.network = classifier
        self.view = classification_view(config.data)
        self._files = files
        self._draw = draw
        self._names = classifier.trained.names(classifier.outputs)

    def answer(self, batch: FileBatch) -> list[Callable[[], ClassPrediction]]:
        """Classifies a batch."""
        if batch.views is None:
            return []
        side, places = batch.views.sizes[0][0], batch.views.indices.tolist()
        pictures = batch.views.to(self.network.device).pictures[:, :, :side, :side]
        probabilities = torch.softmax(self.network.logits(pictures).float(), dim=1)
        values, labels = probabilities.topk(min(BEST, probabilities.shape[1]), dim=1)
        rows = zip(places, labels.tolist(), values.tolist(), strict=True)
        return [partial(self._prediction, *row) for row in rows]

    def _prediction(self, place: int, labels: list[int], values: list[float]) -> ClassPrediction:
        file, names = self._files[place], (self._names[label] for label in labels)
        best = tuple(zip(names, values, strict=True))
        if not self._draw:
            return ClassPrediction(file, best, None)
        content = captioned(decode_file(file), best)
        return ClassPrediction(file, best, Drawn(picture_name(place + 1, file), content))


class ClassFiles:
    """Writes predictions, one line each, until it is closed.

    Args:
        folder: Where.
        form: JSON lines or CSV.
    """

    def __init__(self, folder: Path, form: Literal["jsonl", "csv"]) -> None:
        self._folder = folder
        self._form = form
        name = LINES if form == "jsonl" else TABLE
        # Names of files need not be text.
        self._stream = (folder / name).open(
            "w", encoding="utf-8", errors="surrogateescape", newline=""
        )
        self._table = csv.writer(self._stream)
        self._columns = 0

    def close(self) -> None:
        """Ends the file."""
        self._stream.close()

    def write(self, prediction: ClassPrediction) -> None:
        """Writes one line, and the picture if it was drawn."""
        if prediction.drawn is not None:
            prediction.drawn.write(self._folder)
        if self._form == "csv":
            self._write_row(prediction)
            return
        best = [{"class": name, "probability": value} for name, value in prediction.best]
        self._stream.write(json.dumps({"file": prediction.file, "classes": best}) + "\n")

    def _write_row(self, prediction: ClassPrediction) -> None:
        if not self._columns:
            self._columns = len(prediction.best)
            ranks = range(1, self._columns + 1)
            named = (name for rank in ranks for name in (f"class_{rank}", f"probability_{rank}"))
            self._table.writerow(["file", *named])
        self._table.writerow(
            [prediction.file, *(part for pair in prediction.best for part in pair)]
        )
