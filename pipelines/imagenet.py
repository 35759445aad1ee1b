"""Trains a residual network on ImageNet or on pictures laid out like it."""

import sys
from pathlib import Path

from service.cluster.applications import CLASSIFICATION
from service.cluster.pipeline import Pipeline, run_pipeline
from service.cluster.tables import models_table, regularizers_table
from service.config.imagenet import ImageNetConfig

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
    tables={"list-models": models_table, "list-regularizers": regularizers_table},
)

if __name__ == "__main__":
    sys.exit(run_pipeline(PIPELINE, sys.argv[1:]))
