"""Trains a residual network on CIFAR-10, CIFAR-100 or SVHN."""

import sys
from pathlib import Path

from service.cluster.applications import CLASSIFICATION
from service.cluster.pipeline import Pipeline, run_pipeline
from service.cluster.tables import models_table, regularizers_table
from service.config.cifar import CIFARConfig

_CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "cifar"

PIPELINE = Pipeline(
    summary="Trains a residual network on CIFAR-10, CIFAR-100 or SVHN.",
    example=(
        "python pipelines/cifar.py --config configs/cifar/pyramidnet110_a270_shakedrop.yaml "
        "data.root=/data data.download=true"
    ),
    schema=CIFARConfig,
    default=_CONFIGS / "quick.yaml",
    application=CLASSIFICATION,
    tables={"list-models": models_table, "list-regularizers": regularizers_table},
)

if __name__ == "__main__":
    sys.exit(run_pipeline(PIPELINE, sys.argv[1:]))
