"""COCO's average precision, exact and on all workers together.

Each worker matches the detections of the pictures it holds. What became of each detection is sent
to all, and precision and recall are computed over all pictures in the order of their ids. So the
figures are those of pycocotools in one process that has seen all pictures, to the last digit.

One thing differs: pycocotools counts an annotation of id 0 as never found; here no annotation's id
is used.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.data.gathering import gather
from service.detection.evaluation.accumulation import Curves, accumulate
from service.detection.evaluation.detections import PictureDetections
from service.detection.evaluation.gathering import check_pictures
from service.detection.evaluation.regions import Integers
from service.detection.evaluation.report import (
    EvaluationReport,
    figures,
    precision_by_category,
    warnings_of,
)
from service.detection.evaluation.results import Kind
from service.detection.evaluation.shares import Share, share_of, verdicts_of

__all__ = ["Kind", "evaluate_detections"]


def evaluate_detections(
    truth: Mapping[str, Any], own: Sequence[PictureDetections], *, kinds: Sequence[Kind]
) -> EvaluationReport:
    """Evaluates detections; where `torch.distributed` is initialised, all workers call it together.

    Args:
        truth: All pictures, annotations and categories as a COCO dictionary, the same on each
            worker. It is not changed.
        own: This worker's detections: one entry for each picture it holds, also for pictures
            without detections.
        kinds: What is compared with the ground truth.

    Returns:
        The same report on every worker.

    Raises:
        RuntimeError: The workers' pictures are not exactly those of the ground truth, each once;
            on every worker.
        ValueError: There are no categories, or masks are asked for and detections have none.
    """
    held = gather([picture.picture_id for picture in own])
    check_pictures((one["id"] for one in truth["images"]), (one for ids in held for one in ids))
    names = {one["id"]: one["name"] for one in truth["categories"]}
    if not names:
        raise ValueError("the ground truth has no categories")
    ids = sorted(names)
    categories = np.array(ids, dtype=np.int64)
    gathered = gather({kind: share_of(truth, own, categories, kind) for kind in kinds})
    shares = {kind: [one[kind] for one in gathered] for kind in kinds}
    curves = {kind: _curves(shares[kind]) for kind in kinds}
    return EvaluationReport(
        figures={name: v for kind in kinds for name, v in figures(kind, curves[kind]).items()},
        by_category={kind: precision_by_category(curves[kind], ids) for kind in kinds},
        categories={one: names[one] for one in ids},
        precision={kind: curves[kind].precision[..., 0] for kind in kinds},
        quality=_qualities(shares[kinds[0]]),
        warnings=warnings_of(
            {kind: sum(len(share.scores) for share in shares[kind]) for kind in kinds},
            int(_objects(shares[kinds[0]])[:, 0].sum()),
        ),
    )


def _curves(shares: Sequence[Share]) -> Curves:
    return accumulate(verdicts_of(shares), _objects(shares))


def _objects(shares: Sequence[Share]) -> Integers:
    """Returns how many objects count over all pictures, (K, A)."""
    total: Integers = np.sum([share.objects for share in shares], axis=0)
    return total


def _qualities(shares: Sequence[Share]) -> dict[int, float]:
    """Returns each picture's quality in the order of ids."""
    merged = {one: value for share in shares for one, value in share.quality.items()}
    return dict(sorted(merged.items()))
