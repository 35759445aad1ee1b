"""Object detection as the loop sees it."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.config.changes import check_changes
from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.data.detection.batch import DetectionBatch
from service.data.detection.loading import detection_training_batches
from service.data.detection.order import detection_order
from service.data.detection.splits import DetectionSplits, open_detection_splits
from service.data.loading import loading_processes
from service.data.skipping import SkippedPictures, most_skipped
from service.detection.detectors import build_detector, lr_multipliers
from service.detection.evaluating import Evaluator
from service.detection.strength_ramps import strength_ramps
from service.detection.views import targets_of, views_of
from service.detection.weights import load_detector_weights
from service.training.length import RunLength
from service.training.worker import Worker


def scenes_folder(storage: Path) -> Path:
    """Returns the folder under the storage path that holds drawn scenes."""
    return storage / "datasets"


class DetectionTask:
    """A network that finds objects; see `service.training.task.Task`.

    Args:
        config: The whole configuration, resolved.
        storage: Folder of all runs.
        worker: This process among those that train together.
    """

    def __init__(self, config: COCOConfig, storage: Path, worker: Worker) -> None:
        self._config = config
        self._worker = worker
        self._splits = open_splits(config, storage)
        torch.manual_seed(config.training.seed)
        self.model: nn.Module = build_detector(
            config.model, len(self._splits.train.categories), config.data.mean, config.data.std
        ).to(worker.device)
        if config.model.weights is not None:
            load_detector_weights(self.model, config.model.weights)
        self.learning_rate_factors: Mapping[str, float] = lr_multipliers(config.model)
        self.samples_per_epoch = len(self._splits.train)
        self._ramps = strength_ramps(self.model, config.model)
        self._skipped = SkippedPictures(
            "training", self.samples_per_epoch, most_skipped(config.data), worker.warn
        )
        folder = storage / (config.name or "detections")
        self._evaluator = Evaluator(self._splits.evaluation, config, worker, folder)

    def train_batches(self, position: int) -> Generator[DetectionBatch, None, None]:
        """Yields this worker's micro-batches for ever, from the step that starts at `position`."""
        config = self._config
        batches = detection_training_batches(
            self._splits.train,
            config.data,
            detection_order(
                self._splits.train,
                config.data.train,
                config.training.seed,
                config.training.batch_size,
            ),
            masks=config.model.kind == "mask_rcnn",
            start=position,
            batch_size=config.training.batch_size,
            accumulation=config.training.accumulation,
            rank=self._worker.rank,
            world_size=self._worker.world_size,
            loading_processes=self._loading_processes(),
        )
        return self._skipped.noted(batches)

    def change(self, config: COCOConfig) -> None:
        """Takes over other strengths of the backbone's regulariser, in place.

        Raises:
            ConfigurationError: It differs in what cannot change in a running training.
        """
        check_changes(self._config, config)
        self._config = config
        self._ramps.change(config.model)

    def begin_step(self, step: int, length: RunLength) -> None:
        """Sets the regulariser's strength for the step."""
        self._ramps.move_to(step, length)
        self._evaluator.begin_step(step, length)

    def loss(self, model: nn.Module, batch: DetectionBatch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Returns the sum of the detector's losses for a micro-batch, and each of them."""
        losses: dict[str, Tensor] = model(views_of(batch), targets_of(batch))
        total = torch.stack([value.float() for value in losses.values()]).sum()
        return total, {_loss_name(name): value.detach() for name, value in losses.items()}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Returns COCO's figures in percent over all evaluation pictures, each once."""
        return self._evaluator.evaluate(model, self._loading_processes())

    def metadata(self) -> dict[str, Any]:
        """Returns categories and preprocessing: what using the model later needs."""
        config, evaluation = self._config.data, self._config.data.evaluation
        categories = self._splits.train.categories
        return {
            "task": "detection",
            "categories": [{"id": category.id, "name": category.name} for category in categories],
            "preprocessing": {
                "short_side": evaluation.short_side,
                "longest": evaluation.longest,
                "mean": list(config.mean),
                "std": list(config.std),
            },
        }

    def counts(self) -> dict[str, float]:
        """Returns how many training pictures were skipped so far, if any may be."""
        return self._skipped.counts()

    def state_dict(self) -> dict[str, Any]:
        """Returns which pictures were skipped; the position determines all else."""
        return self._skipped.state_dict() | self._evaluator.skipped.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores which pictures were skipped."""
        self._skipped.load_state_dict(state)
        self._evaluator.skipped.load_state_dict(state)

    def _loading_processes(self) -> int:
        worker = self._worker
        return loading_processes(self._config.data.loading_processes, worker.cpus, worker.device)


@dataclass(frozen=True)
class Checked:
    """What was found out before any worker starts."""

    splits: DetectionSplits
    weights: tuple[str, ...]
    """What became of the starting weights, a line each; none without."""


def check(config: COCOConfig, storage: Path) -> Checked:
    """Finds out what would fail on a worker before any worker starts.

    Raises:
        ConfigurationError: The data or the starting weights cannot be used.
    """
    splits = open_splits(config, storage)
    detector = build_detector(
        config.model, len(splits.train.categories), config.data.mean, config.data.std
    )
    if config.model.weights is None:
        return Checked(splits, ())
    report = load_detector_weights(detector, config.model.weights)
    return Checked(splits, tuple(str(report).splitlines()))


def open_splits(config: COCOConfig, storage: Path) -> DetectionSplits:
    """Opens the pictures of a configuration; raises ConfigurationError where they are unfit."""
    masks = config.model.kind == "mask_rcnn"
    splits = open_detection_splits(config.data, scenes_folder(storage), masks=masks)
    if splits.evaluation.stored.crowds.all():
        raise ConfigurationError(
            f"{splits.evaluation.annotation_file}: annotations: no picture shows an object, so "
            "there is nothing to evaluate"
        )
    return splits


def _loss_name(name: str) -> str:
    """Returns a part's name: RetinaNet's parts have no prefix."""
    return name if name.startswith("loss_") else f"loss_{name}"
