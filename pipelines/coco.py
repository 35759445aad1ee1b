"""Trains a detector on COCO or on data laid out like it."""

import sys
from pathlib import Path

from service.cluster.applications import DETECTION
from service.cluster.pipeline import Pipeline, run_pipeline
from service.cluster.tables import regularizers_table
from service.config.coco import COCOConfig

_CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "coco"

PIPELINE = Pipeline(
    summary="Trains a detector on COCO or on data laid out like it.",
    example=(
        "python pipelines/coco.py --config configs/coco/mask_rcnn_resnet50_shakedrop_1x.yaml "
        "data.root=/data/coco model.weights=runs/resnet50/step_00450000"
    ),
    schema=COCOConfig,
    default=_CONFIGS / "drawn.yaml",
    application=DETECTION,
    tables={"list-regularizers": regularizers_table},
)

if __name__ == "__main__":
    sys.exit(run_pipeline(PIPELINE, sys.argv[1:]))
