"""What an evaluation leaves for people: tables, curves and pictures, and its detections."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.config.coco import COCOConfig
from service.data.decoding import DamagedPictureError
from service.data.detection.coco import DetectionSet
from service.data.detection.orientation import decode_annotated
from service.detection.drawings import side_by_side
from service.detection.evaluation.curves import draw_curves
from service.detection.evaluation.detections import PictureDetections
from service.detection.evaluation.gathering import at_first_worker
from service.detection.evaluation.report import EvaluationReport
from service.detection.evaluation.results import write_results
from service.training.length import RunLength
from service.training.worker import Worker

_WORST = 8
"""Pictures drawn at the end of the run because their detections are worst."""


class EvaluationRecords:
    """Writes what an evaluation leaves.

    Args:
        pictures: The evaluation pictures.
        truth: Them as a COCO dictionary.
        config: The whole configuration.
        worker: This process among those that train together.
        folder: The run's folder.
    """

    def __init__(
        self,
        pictures: DetectionSet,
        truth: dict[str, Any],
        config: COCOConfig,
        worker: Worker,
        folder: Path,
    ) -> None:
        self._pictures = pictures
        ids = [entry.id for entry in pictures.pictures]
        self._places = {picture: place for place, picture in enumerate(ids)}
        self._names = {category.id: category.name for category in pictures.categories}
        self._annotations: dict[int, list[Mapping[str, Any]]] = {picture: [] for picture in ids}
        for annotation in truth["annotations"]:
            self._annotations[annotation["image_id"]].append(annotation)
        shown = min(config.data.evaluation.pictures_shown, len(ids))
        # Spread over the set, and the same at each evaluation.
        self._shown = [ids[place * len(ids) // shown] for place in range(shown)]
        self._worker = worker
        self._folder = folder
        self._step = 0
        self._last = False
        self._written = 0

    def begin_step(self, step: int, length: RunLength) -> None:
        """Takes note of the step that follows."""
        self._step = step + 1
        self._last = self._step == length.steps
        self._written = 0

    def write(self, own: Sequence[PictureDetections], report: EvaluationReport) -> None:
        """Writes the files of an evaluation; all workers call it together.

        Args:
            own: This worker's detections.
            report: What came of all workers' detections.
        """
        found = {one.picture_id: one for one in at_first_worker(list(own))}
        # The average of the weights is evaluated after them.
        where = f"evaluation/step_{self._step:08d}" + ("_ema" if self._written else "")
        self._written += 1
        if self._worker.rank != 0:
            return
        self._worker.attach(f"{where}/categories.csv", _category_table(report))
        self._worker.attach(f"{where}/precision_recall.png", draw_curves(report))
        for kind in report.by_category:
            write_results(found.values(), kind, self._folder / f"detections_{kind}.json")
        self._draw(f"{where}/pictures", self._shown, found)
        if self._last:
            self._draw(f"{where}/worst", report.worst(_WORST), found)

    def _draw(
        self, where: str, pictures: Iterable[int], found: Mapping[int, PictureDetections]
    ) -> None:
        """Attaches ground truth and detections of some pictures, side by side."""
        for order, picture in enumerate(pictures, start=1):
            try:
                place = self._places[picture]
                entry = self._pictures.pictures[place]
                encoded = self._pictures.read(place)
                pixels = decode_annotated(encoded, entry.width, entry.height)
            except (OSError, DamagedPictureError) as error:
                # It is counted and told by the evaluation already.
                self._worker.warn(f"picture {picture} cannot be drawn: {error}")
                continue
            drawn = side_by_side(pixels, self._annotations[picture], found[picture], self._names)
            self._worker.attach(f"{where}/{order:02d}_{picture}.png", drawn)


def _category_table(report: EvaluationReport) -> bytes:
    """Returns AP by category as CSV, the best first."""
    text = io.StringIO()
    kinds = list(report.by_category)
    table = csv.writer(text)
    table.writerow(["category", *(f"{kind}_ap" for kind in kinds)])
    first = report.by_category[kinds[0]]
    for category in sorted(first, key=lambda one: -first[one]):
        values = [report.by_category[kind].get(category) for kind in kinds]
        shown = ["" if value is None else f"{value:.2f}" for value in values]
        table.writerow([report.categories[category], *shown])
    return text.getvalue().encode()
