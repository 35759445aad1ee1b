"""A detector's evaluation on all workers: detections, figures, and files for people."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from torch import Tensor, nn

from service.config.coco import COCOConfig
from service.data.detection.batch import DetectionBatch
from service.data.detection.coco import DetectionSet
from service.data.detection.loading import detection_evaluation_batches
from service.data.skipping import SkippedPictures, most_skipped
from service.detection.evaluation.average_precision import Kind, evaluate_detections
from service.detection.evaluation.detections import PictureDetections, picture_detections
from service.detection.records import EvaluationRecords
from service.detection.views import views_of
from service.training.length import RunLength
from service.training.worker import Worker


class Evaluator:
    """Evaluates a run's detector.

    Attributes:
        skipped: The evaluation pictures that had to be skipped.

    Args:
        pictures: The evaluation pictures.
        config: The whole configuration.
        worker: This process among those that train together.
        folder: The run's folder.
    """

    def __init__(
        self, pictures: DetectionSet, config: COCOConfig, worker: Worker, folder: Path
    ) -> None:
        self._pictures = pictures
        self._config = config
        self._worker = worker
        self._truth = pictures.ground_truth()
        self._kinds: tuple[Kind, ...] = ("box",)
        if config.model.kind == "mask_rcnn":
            self._kinds = ("box", "mask")
        self.skipped = SkippedPictures(
            "evaluation",
            len(pictures),
            most_skipped(config.data),
            worker.warn,
            outcome="counted as without detections",
        )
        self._records = EvaluationRecords(pictures, self._truth, config, worker, folder)

    def begin_step(self, step: int, length: RunLength) -> None:
        """Takes note of the step that follows."""
        self._records.begin_step(step, length)

    def evaluate(self, model: nn.Module, loading_processes: int) -> dict[str, float]:
        """Returns COCO's figures in percent, the same on each worker; they call it together.

        Args:
            model: The detector in evaluation mode.
            loading_processes: Processes that decode pictures.
        """
        own = self._detect(model, loading_processes)
        skipped = self.skipped.agree()
        report = evaluate_detections(self._truth, own, kinds=self._kinds)
        for warning in report.warnings:
            self._worker.warn(f"evaluation: {warning}")
        self._records.write(own, report)
        return {**report.figures, **self.skipped.figure(skipped)}

    def _detect(self, model: nn.Module, loading_processes: int) -> list[PictureDetections]:
        """Returns the detections in this worker's pictures.

        Masks are encoded by threads, while the device is at the next batch.
        """
        worker = self._worker
        batches = detection_evaluation_batches(
            self._pictures,
            self._config.data,
            rank=worker.rank,
            world_size=worker.world_size,
            loading_processes=loading_processes,
        )
        waiting: list[Future[list[PictureDetections]]] = []
        with ThreadPoolExecutor(max_workers=max(1, worker.cpus - 1)) as encoders:
            for batch in self.skipped.noted(batches):
                found = model(views_of(batch.to(worker.device)))
                found = [{name: value.cpu() for name, value in one.items()} for one in found]
                waiting.append(encoders.submit(self._encoded, batch, found))
                worker.moved_on()
            return [one for future in waiting for one in future.result()]

    def _encoded(
        self, batch: DetectionBatch, found: list[dict[str, Tensor]]
    ) -> list[PictureDetections]:
        categories = [category.id for category in self._pictures.categories]
        entries = [self._pictures.pictures[index] for index in batch.indices.tolist()]
        return [
            picture_detections(one, entry, size, categories)
            for one, entry, size in zip(found, entries, batch.sizes, strict=True)
        ]
