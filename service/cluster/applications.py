"""The kinds of training that the pipelines run."""

from pathlib import Path

from service.classification.evaluation import Tally
from service.classification.task import ClassificationTask, Recipe, check
from service.cluster.job import Application, Facts
from service.config.base import Range
from service.config.regularizer import ShakeDropConfig
from service.data.pictures import Pictures, digest
from service.models.catalogue import network_name
from service.tracking.parameters import Params, comparison_params, data_name
from service.tracking.request import DatasetSplit


def _check_classification(config: Recipe, storage: Path) -> Facts:
    splits = check(config, storage)
    return Facts(
        samples_per_epoch=len(splits.train),
        datasets=(
            _split(config, "train", splits.train),
            _split(config, "val", splits.evaluation),
        ),
    )


def _split(config: Recipe, context: str, pictures: Pictures) -> DatasetSplit:
    return DatasetSplit(
        name=f"{data_name(config)}-{context}",
        digest=digest(pictures),
        source=str(pictures.source),
        context=context,
        samples=len(pictures),
    )


def _alpha(config: Recipe) -> Range | None:
    regularizer = config.model.regularizer
    if not isinstance(regularizer, ShakeDropConfig):
        return None
    alpha = regularizer.alpha
    if alpha.low is None or alpha.high is None:
        raise ValueError("the configuration of a job is resolved")
    return Range(low=alpha.low, high=alpha.high)


def _params(config: Recipe) -> Params:
    return comparison_params(config, network_name(config.model), _alpha(config))


def _metrics(config: Recipe) -> tuple[str, ...]:
    prefixes = ("val/", "val/ema_") if config.training.average.enabled else ("val/",)
    return tuple(prefix + name for prefix in prefixes for name in Tally.NAMES)


CLASSIFICATION = Application(
    build_task=ClassificationTask, check=_check_classification, params=_params, metrics=_metrics
)
"""Image classification."""
