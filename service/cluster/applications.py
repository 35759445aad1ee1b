"""The kinds of training that the pipelines run."""

from pathlib import Path

from service.classification.task import ClassificationTask, Recipe, check
from service.cluster.job import Application, Facts
from service.config.base import Range
from service.config.regularizer import ShakeDropConfig
from service.data.pictures import Pictures, digest
from service.models.catalogue import network_name
from service.tracking.parameters import comparison_params, data_name
from service.tracking.request import DatasetSplit


def _check_classification(config: Recipe, storage: Path) -> Facts:
    splits = check(config, storage)
    return Facts(
        samples_per_epoch=len(splits.train),
        datasets=(
            _split(config, "train", splits.train),
            _split(config, "val", splits.evaluation),
        ),
        params=comparison_params(config, network_name(config.model), _alpha(config)),
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


CLASSIFICATION = Application(build_task=ClassificationTask, check=_check_classification)
"""Image classification."""
