"""Evaluating a checkpoint as training does, in this process, and more closely."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from service.classification.evaluation import Tally
from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.data.decoding import DamagedPictureError
from service.data.loading import evaluation_batches, loading_processes
from service.data.pictures import Pictures, digest
from service.data.progress import Progress
from service.data.skipping import SkippedPictures, most_skipped
from service.detection.evaluating import Evaluator
from service.inference.answers import AnswerRecord, Answers, mirrored_mean
from service.inference.calibration import calibration
from service.inference.confusion import class_rows, class_table
from service.inference.drawings import draw_confusion, draw_reliability
from service.inference.evaluation_data import detection_evaluation_set, evaluation_set
from service.inference.machine import best_device, cores
from service.inference.networks import Classifier, Detector, answering
from service.inference.trained import Trained
from service.training.local import LocalWorker

_CATEGORIES = "categories.csv"
_CLASSES = "classes.csv"
CALIBRATION_ERROR = "calibration_error"
"""Expected calibration error, percent; see `service.inference.calibration`."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found."""

    figures: dict[str, float]
    """As training names them, and what training does not measure."""
    pictures: int
    """How many were evaluated."""
    source: str
    """Where they are."""
    digest: str
    """Tells the set from others."""
    classes: list[dict[str, str]] = field(default_factory=list)
    """Top-1 by class, for classifiers."""
    categories: list[dict[str, str]] = field(default_factory=list)
    """AP by category, for detectors."""


def evaluate_trained(
    trained: Trained, folder: Path, warn: Callable[[str], None], *, flip: bool = False
) -> Evaluation:
    """Evaluates on the configured evaluation pictures.

    Args:
        trained: The checkpoint.
        folder: Where the evaluation leaves its tables and pictures; it must be there.
        warn: Shows a line to people.
        flip: Whether a classifier also sees each picture's mirror image: its answer is then the
            mean of both views' probabilities.

    Raises:
        ConfigurationError: The data cannot be used, or have other classes than the checkpoint.
    """
    try:
        if isinstance(trained.config, COCOConfig):
            return _evaluate_detector(trained, trained.config, folder, warn)
        return _evaluate_classifier(trained, folder, warn, flip=flip)
    except DamagedPictureError as error:
        raise ConfigurationError(f"data: {error}") from error


def _evaluate_classifier(
    trained: Trained, folder: Path, warn: Callable[[str], None], *, flip: bool
) -> Evaluation:
    classifier, pictures = Classifier(trained, best_device()), evaluation_set(trained)
    unusable = SkippedPictures("evaluation", len(pictures), most_skipped(trained.config.data), warn)
    tally, answers = _answered(classifier, pictures, unusable, flip=flip)
    skipped = unusable.agree()
    used = len(pictures) - skipped
    found, names = calibration(answers), trained.names(classifier.outputs)
    rows = class_rows(answers, names)
    (folder / _CLASSES).write_bytes(class_table(rows))
    (folder / "confusion.png").write_bytes(draw_confusion(answers, names))
    (folder / "reliability.png").write_bytes(draw_reliability(found))
    figures = {**tally.figures(used), CALIBRATION_ERROR: found.error, **unusable.figure(skipped)}
    return Evaluation(figures, used, str(pictures.source), digest(pictures), classes=rows)


def _answered(
    classifier: Classifier, pictures: Pictures, unusable: SkippedPictures, *, flip: bool
) -> tuple[Tally, Answers]:
    """Asks a classifier; returns the counts that training keeps, and each picture's answer."""
    trained, device = classifier.trained, classifier.device
    config = trained.config
    if isinstance(config, COCOConfig):
        raise TypeError("a detector is no classifier")
    batches = evaluation_batches(
        pictures,
        config.data,
        rank=0,
        world_size=1,
        loading_processes=loading_processes(config.data.loading_processes, cores(), device),
    )
    tally, record = Tally(device), AnswerRecord()
    with Progress(len(pictures)) as progress:
        for batch in unusable.noted(batches):
            if len(batch):
                moved = batch.to(device)
                logits = classifier.logits(moved.pictures)
                if flip:
                    logits = mirrored_mean(logits, classifier.logits(moved.pictures.flip(3)))
                with answering(trained, device):
                    tally.add(logits, moved.labels)
                    record.add(logits, moved.labels)
            progress.add(len(batch) + len(batch.failures))
    return tally, record.gathered()


def _evaluate_detector(
    trained: Trained, config: COCOConfig, folder: Path, warn: Callable[[str], None]
) -> Evaluation:
    device, pictures = best_device(), detection_evaluation_set(trained, config)
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
    network = Detector(trained, device).network
    evaluator = Evaluator(pictures, config, worker, folder)
    processes = loading_processes(config.data.loading_processes, cores(), device)
    with Progress(len(pictures)) as progress, answering(trained, device):
        network.register_forward_hook(lambda _, views, found: progress.add(len(views[0])))
        figures = evaluator.evaluate(network, processes)
    with (folder / _CATEGORIES).open(encoding="utf-8", newline="") as table:
        categories = list(csv.DictReader(table))
    found = len(pictures), pictures.source, pictures.digest()
    return Evaluation(figures, *found, categories=categories)


def _attach(folder: Path, path: str, content: bytes) -> None:
    """Writes an evaluation's file, without the folders that tell a run's evaluations apart."""
    file = folder.joinpath(*Path(path).parts[2:])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
