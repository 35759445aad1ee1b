"""Trains a residual network on ImageNet or on pictures laid out like it."""

import sys
from pathlib import Path

from service.cluster.applications import CLASSIFICATION
from service.cluster.pipeline import Pipeline, run_pipeline
from service.config.imagenet import ImageNetConfig
from service.models.catalogue import table
from service.models.regularizer_catalogue import regularizer_table

_CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "imagenet"

PIPELINE = Pipeline(
    summary="Trains a residual network on ImageNet or on pictures laid out like it.",
    example=(
        "python pipelines/imagenet.py --config configs/imagenet/resnet50_shakedrop.yaml "
        "data.root=/data/imagenet"
    ),
    schema=ImageNetConfig,
    default=_CONFIGS / "drawn.yaml",
    application=CLASSIFICATION,
    tables={"list-models": table, "list-regularizers": regularizer_table},
)

if __name__ == "__main__":
    sys.exit(run_pipeline(PIPELINE, sys.argv[1:]))
