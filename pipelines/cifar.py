"""Trains a residual network on CIFAR-10, CIFAR-100 or SVHN."""

import sys
from pathlib import Path

from service.cluster.applications import CLASSIFICATION
from service.cluster.pipeline import Pipeline, run_pipeline
from service.config.cifar import CIFARConfig
from service.models.catalogue import table
from service.models.regularizer_catalogue import regularizer_table

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
    tables={"list-models": table, "list-regularizers": regularizer_table},
)

if __name__ == "__main__":
    sys.exit(run_pipeline(PIPELINE, sys.argv[1:]))
