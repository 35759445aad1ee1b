"""Evaluating a checkpoint as training does, in this process."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from service.classification.checking import datasets_folder
from service.classification.evaluation import Tally
from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.data.detection.coco import Category
from service.data.loading import evaluation_batches, loading_processes
from service.data.pictures import digest
from service.data.progress import Progress
from service.data.skipping import SkippedPictures, most_skipped
from service.data.splits import open_splits
from service.detection.evaluating import Evaluator
from service.detection.task import open_splits as open_detection_splits
from service.inference.machine import best_device, cores
from service.inference.networks import Classifier, Detector, answering
from service.inference.trained import Trained, storage_folder
from service.training.local import LocalWorker

_TABLE = "categories.csv"


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found."""

    figures: dict[str, float]
    """As training names them."""
    pictures: int
    """How many were evaluated."""
    source: str
    """Where they are."""
    digest: str
    """Tells the set from others."""
    categories: list[dict[str, str]] = field(default_factory=list)
    """AP by category, for detectors."""


def evaluate_trained(trained: Trained, folder: Path, warn: Callable[[str], None]) -> Evaluation:
    """Evaluates on the configured evaluation pictures.

    Args:
        trained: The checkpoint.
        folder: Where a detector's evaluation leaves its files; it must be there.
        warn: Shows a line to people.

    Raises:
        ConfigurationError: The data cannot be used, or have other classes than the checkpoint.
        DamagedPictureError: A picture cannot be used.
    """
    if isinstance(trained.config, COCOConfig):
        return _evaluate_detector(trained, trained.config, folder, warn)
    return _evaluate_classifier(trained, warn)


def _evaluate_classifier(trained: Trained, warn: Callable[[str], None]) -> Evaluation:
    config, device = trained.config, best_device()
    if isinstance(config, COCOConfig):
        raise TypeError("a detector is no classifier")
    splits = open_splits(config.data, datasets_folder(storage_folder(config)))
    _agree("classes", splits.train.classes, trained.classes)
    classifier, pictures = Classifier(trained, device), splits.evaluation
    batches = evaluation_batches(
        pictures,
        config.data,
        rank=0,
        world_size=1,
        loading_processes=loading_processes(config.data.loading_processes, cores(), device),
    )
    tally = Tally(device)
    unusable = SkippedPictures("evaluation", len(pictures), most_skipped(config.data), warn)
    with Progress(len(pictures)) as progress:
        for batch in unusable.noted(batches):
            if len(batch):
                moved = batch.to(device)
                logits = classifier.logits(moved.pictures)
                with answering(trained, device):
                    tally.add(logits, moved.labels)
            progress.add(len(batch) + len(batch.failures))
    skipped = unusable.agree()
    used = len(pictures) - skipped
    figures = {**tally.figures(used), **unusable.figure(skipped)}
    return Evaluation(figures, used, str(pictures.source), digest(pictures))


def _evaluate_detector(
    trained: Trained, config: COCOConfig, folder: Path, warn: Callable[[str], None]
) -> Evaluation:
    device = best_device()
    splits = open_detection_splits(config, storage_folder(config))
    _agree("categories", _labels(splits.train.categories), _labels(trained.categories))
    worker = LocalWorker(
        folder=folder,
        device=device,
        cpus=cores(),
        retention=config.checkpoint,
        log=lambda step, metrics: None,
        attach=lambda path, content: _attach(folder, path, content),
        warn=warn,
        stop_requested=lambda: False,
    )
    detector, pictures = Detector(trained, device), splits.evaluation
    evaluator = Evaluator(pictures, config, worker, folder)
    with answering(trained, device):
        figures = evaluator.evaluate(
            detector.network, loading_processes(config.data.loading_processes, cores(), device)
        )
    with (folder / _TABLE).open(encoding="utf-8", newline="") as table:
        categories = list(csv.DictReader(table))
    return Evaluation(figures, len(pictures), pictures.source, pictures.digest(), categories)


def _attach(folder: Path, path: str, content: bytes) -> None:
    """Writes an evaluation's file, without the folders that tell a run's evaluations apart."""
    file = folder.joinpath(*Path(path).parts[2:])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _labels(categories: tuple[Category, ...]) -> tuple[str, ...]:
    return tuple(f"{category.id} {category.name!r}" for category in categories)


def _agree(what: str, data: tuple[str, ...], checkpoint: tuple[str, ...]) -> None:
    """Raises ConfigurationError where labels would mean other things than in training."""
    if data == checkpoint:
        return
    first = next((pair for pair in zip(data, checkpoint, strict=False) if pair[0] != pair[1]), None)
    detail = f"; the first that differs is {first[0]}, there {first[1]}" if first else ""
    raise ConfigurationError(
        f"data: its {len(data)} {what} are not the {len(checkpoint)} that the checkpoint was "
        f"trained on{detail}; give data of the same {what} in the same order"
    )
