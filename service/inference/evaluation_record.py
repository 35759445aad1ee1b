"""What an evaluation was of, on what and how; and the same in the MLflow run of the training."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from service.config.versions import versions
from service.inference.evaluation import Evaluation
from service.inference.evaluation_data import set_name
from service.inference.machine import best_device
from service.inference.trained import Trained, storage_folder
from service.tracking.address import redact, resolve_uri
from service.tracking.client import TrackingUnavailableError
from service.tracking.evaluations import FOLDER, EvaluationResult, log_evaluation, plain_name
from service.tracking.origin import origin_of

_PACKAGES = ("service", "torch", "torchvision", "torchcodec", "numpy", "pycocotools")
_DATABASE = "mlflow.db"


@dataclass(frozen=True)
class How:
    """How an evaluation was asked for."""

    name: str
    """What its figures are called in MLflow."""
    overrides: tuple[str, ...]
    """Changes of its configuration."""
    flip: bool
    """Whether mirror images were shown, too."""
    resolution: int | None
    """Pixels, if it is another one than the checkpoint's."""

    @classmethod
    def asked(cls, options: Namespace, trained: Trained) -> Self:
        """Returns what a command line asks for."""
        words = [set_name(trained)]
        words += ["flip"] if options.flip else []
        words += [str(options.resolution)] if options.resolution else []
        words += [options.weights] if options.weights != "auto" else []
        return cls(
            name=options.name or plain_name("-".join(words)),
            overrides=tuple(options.overrides),
            flip=options.flip,
            resolution=options.resolution,
        )

    def in_words(self) -> str:
        """Returns what differs from evaluation in training."""
        resolution = f", at {self.resolution} pixels" if self.resolution else ""
        return resolution + (", with mirror images" if self.flip else "")


def described(how: How, trained: Trained, evaluation: Evaluation) -> dict[str, Any]:
    """Returns what the file of figures holds."""
    return {
        "figures": evaluation.figures,
        "in_training": _in_training(trained, evaluation),
        "classes": evaluation.classes,
        "categories": evaluation.categories,
        "checkpoint": {
            "address": redact(trained.address),
            "folder": str(trained.folder),
            "weights": trained.weights,
            "sha256": trained.sha256,
            "step": trained.step,
        },
        "data": {
            "source": redact(evaluation.source),
            "pictures": evaluation.pictures,
            "digest": evaluation.digest,
        },
        "flip": how.flip,
        "resolution": how.resolution,
        "overrides": [redact(one) for one in how.overrides],
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": best_device().type,
        "precision": trained.config.training.precision,
        "versions": versions(_PACKAGES),
    }


def log(how: How, trained: Trained, content: Mapping[str, Any], folder: Path) -> str:
    """Adds an evaluation to the run that the checkpoint came from; returns a line about it.

    Nothing that goes wrong here spoils the evaluation.

    Args:
        how: How it was asked for.
        trained: The checkpoint.
        content: What `described` returned.
        folder: The evaluation's files.
    """
    if not trained.config.tracking.enabled:
        return "not logged: the run was trained without MLflow (tracking.enabled=false)"
    result = EvaluationResult(
        name=how.name,
        step=trained.step or 0,
        figures=content["figures"],
        summary=_summary(how, content),
        files=_files(folder),
    )
    uri = resolve_uri(trained.config.tracking, _storage(trained), nodes=1)
    try:
        page = log_evaluation(
            uri, origin_of(trained.address, trained.folder, trained.metadata), result
        )
    except TrackingUnavailableError as error:
        return f"not logged: MLflow at {redact(uri)} cannot be used now ({error})"
    if page is None:
        return f"not logged: MLflow at {redact(uri)} knows no run that this checkpoint came from"
    return f"logged as {FOLDER}/{how.name}/… to {page}"


def _summary(how: How, content: Mapping[str, Any]) -> str:
    """Returns a line for the run's page; without the checkpoint's path, which would protect it."""
    weights, data = content["checkpoint"], content["data"]
    pictures = f"{data['pictures']} pictures (digest {data['digest'][:8]})"
    return f"{pictures}, {weights['weights']} weights of step {weights['step']}{how.in_words()}"


def _in_training(trained: Trained, evaluation: Evaluation) -> dict[str, float]:
    """Returns what training measured of the same weights, by the names of figures."""
    prefix = "val/ema_" if trained.weights == "ema" else "val/"
    measured = trained.metrics
    return {
        name: measured[prefix + name] for name in evaluation.figures if prefix + name in measured
    }


def _files(folder: Path) -> dict[str, Path]:
    """Returns the files of an evaluation by their paths; those of all detections are too large."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {
        file.relative_to(folder).as_posix(): file
        for file in files
        if not file.name.startswith("detections_")
    }


def _storage(trained: Trained) -> Path:
    """Returns the folder of all runs: the one that the checkpoint lies in, if it is one."""
    return next(
        (folder for folder in trained.folder.absolute().parents if (folder / _DATABASE).is_file()),
        storage_folder(trained.config),
    )
