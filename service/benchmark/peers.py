"""The usual ways, as libraries give them, that ours are compared with."""

import contextlib
import copy
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from service.detection.evaluation.results import Kind

STATISTICS = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip
"""Our names of pycocotools' figures, in its order."""


def quiet_truth(truth: Mapping[str, Any]) -> COCO:
    """Returns a ground truth for pycocotools; it may change it, ours stays as it is."""
    coco = COCO()
    coco.dataset = copy.deepcopy(dict(truth))
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def pycocotools_evaluation(truth: COCO, results: list[dict[str, Any]], kind: Kind) -> COCOeval:
    """Evaluates results in one process, as pycocotools' own example does.

    Args:
        truth: The ground truth; pycocotools changes it.
        results: Detections in COCO's results format; pycocotools changes them.
        kind: What is compared.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes(results)
        evaluation = COCOeval(truth, found, {"box": "bbox", "mask": "segm"}[kind])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def figures_of(evaluation: COCOeval, kind: Kind) -> dict[str, float]:
    """Returns pycocotools' figures under our names, in percent, less those it has none for."""
    values = zip(STATISTICS, evaluation.stats.tolist(), strict=True)
    return {f"{kind}_{name}": 100 * value for name, value in values if value != -1}


def torchvision_masks(
    probabilities: Tensor, boxes: Tensor, height: int, width: int
) -> list[dict[str, Any]]:
    """Encodes masks as torchvision's reference does: paste, compare, encode one by one.

    Args:
        probabilities: (m, 28, 28).
        boxes: (m, 4).
        height: Height of the picture.
        width: Width of the picture.
    """
    with torch.no_grad():
        pasted = paste_masks_in_image(probabilities[:, None], boxes, (height, width)) > 0.5
    return [
        coco_masks.encode(np.asfortranarray(mask[0].astype(np.uint8))) for mask in pasted.numpy()
    ]
