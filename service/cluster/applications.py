"""The kinds of training that the pipelines run.

A driver needs no torch to start a run, so what does is imported where it is called.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from service.classification import checking
from service.classification.checking import Recipe
from service.cluster.job import Application, Facts
from service.config.base import Range
from service.config.coco import COCOConfig
from service.config.regularizer import ShakeDropConfig
from service.config.run import RunConfig
from service.data.pictures import Pictures, digest
from service.models.families import network_name
from service.models.resolution import network_of
from service.tracking.parameters import (
    Params,
    comparison_params,
    data_name,
    detection_params,
)
from service.tracking.request import DatasetSplit

if TYPE_CHECKING:
    from service.classification.task import ClassificationTask
    from service.data.detection.coco import DetectionSet
    from service.detection.task import DetectionTask
    from service.training.worker import Worker


def _classification_task(config: Recipe, storage: Path, worker: "Worker") -> "ClassificationTask":
    from service.classification.task import ClassificationTask

    return ClassificationTask(config, storage, worker)


def _detection_task(config: COCOConfig, storage: Path, worker: "Worker") -> "DetectionTask":
    from service.detection.task import DetectionTask

    return DetectionTask(config, storage, worker)


def _check_classification(config: Recipe, storage: Path) -> Facts:
    splits = checking.check(config, storage)
    return Facts(
        samples_per_epoch=len(splits.train),
        datasets=(
            _split(config, "train", splits.train, digest(splits.train)),
            _split(config, "val", splits.evaluation, digest(splits.evaluation)),
        ),
    )


def _check_detection(config: COCOConfig, storage: Path) -> Facts:
    from service.detection.task import check

    checked = check(config, storage)
    train, evaluation = checked.splits.train, checked.splits.evaluation
    findings = [
        f"{split.annotation_file.name}: {line}"
        for split in (train, evaluation)
        for line in split.findings
    ]
    return Facts(
        samples_per_epoch=len(train),
        datasets=(
            _split(config, "train", train, train.digest()),
            _split(config, "val", evaluation, evaluation.digest()),
        ),
        findings=(*findings, *checked.weights),
    )


def _split(
    config: Recipe | COCOConfig, context: str, pictures: "Pictures | DetectionSet", content: str
) -> DatasetSplit:
    return DatasetSplit(
        name=f"{data_name(config)}-{context}",
        digest=content,
        source=str(pictures.source),
        context=context,
        samples=len(pictures),
    )


def _alpha(config: RunConfig) -> Range | None:
    regularizer = network_of(config).regularizer
    if not isinstance(regularizer, ShakeDropConfig):
        return None
    alpha = regularizer.alpha
    if alpha.low is None or alpha.high is None:
        raise ValueError("the configuration of a job is resolved")
    return Range(low=alpha.low, high=alpha.high)


def _params(config: Recipe) -> Params:
    return comparison_params(config, network_name(config.model), _alpha(config))


def _detection_params(config: COCOConfig) -> Params:
    return detection_params(config, network_name(config.model.backbone), _alpha(config))


def _metrics(config: Recipe) -> tuple[str, ...]:
    return _prefixed(config, checking.FIGURES)


def _detection_metrics(config: COCOConfig) -> tuple[str, ...]:
    from service.detection.evaluation.report import FIGURES

    kinds = ("box", "mask") if config.model.kind == "mask_rcnn" else ("box",)
    return _prefixed(config, [f"{kind}_{figure}" for kind in kinds for figure in FIGURES])


def _prefixed(config: RunConfig, names: Iterable[str]) -> tuple[str, ...]:
    prefixes = ("val/", "val/ema_") if config.training.average.enabled else ("val/",)
    return tuple(prefix + name for prefix in prefixes for name in names)


CLASSIFICATION = Application(
    build_task=_classification_task,
    check=_check_classification,
    params=_params,
    metrics=_metrics,
    headlines=checking.FIGURES,
)
"""Image classification."""

DETECTION = Application(
    build_task=_detection_task,
    check=_check_detection,
    params=_detection_params,
    metrics=_detection_metrics,
    headlines=("box_ap", "box_ap50", "mask_ap"),
)
"""Object detection."""
