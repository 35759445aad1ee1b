"""COCO's figures of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.detection.evaluation.accumulation import MOST, Curves
from service.detection.evaluation.regions import Numbers
from service.detection.evaluation.results import Kind

FIGURES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
"""COCO's twelve figures of each kind, in pycocotools' order."""
SIZES = ("all", "small", "medium", "large")
"""Names of the ranges of areas."""


@dataclass(frozen=True)
class EvaluationReport:
    """What an evaluation found; the same on every worker.

    What the ground truth has no objects for is left out, where pycocotools writes -1: a -1 in a
    curve would look like a result, and a mean over it would be wrong.
    """

    figures: dict[str, float]
    """`box_ap`, `box_ap50`, `box_ap75`, `box_ap_small`, `_medium`, `_large`, `box_ar1`, `box_ar10`,
    `box_ar100`, `box_ar_small`, `_medium`, `_large`, and the same for `mask`; percent."""
    by_category: dict[Kind, dict[int, float]]
    """AP by category id, percent."""
    categories: dict[int, str]
    """Names of all categories by id."""
    precision: dict[Kind, Numbers]
    """Precision (T, R, K) over objects of all sizes, at `matching.THRESHOLDS` and
    `accumulation.RECALLS`, of the K categories in ascending order of ids; in [0, 1], -1 for a
    category without objects."""
    quality: dict[int, float]
    """By picture id: F1 of the first kind's detections of score 0.5 and more at an IoU of 0.5, in
    [0, 1]; 1 where nothing is to be found and nothing was."""
    warnings: tuple[str, ...]
    """One line each for people."""

    def worst(self, count: int) -> list[int]:
        """Returns the ids of the pictures of lowest quality, the worst first."""
        return sorted(self.quality, key=lambda one: (self.quality[one], one))[:count]


def figures(kind: Kind, curves: Curves) -> dict[str, float]:
    """Returns COCO's twelve figures by name, in percent, less those without objects.

    AP is the mean over thresholds, recalls and categories; AR the mean over thresholds and
    categories (cocoeval.py, `summarize`).
    """
    values = {"ap": _mean(curves.precision[..., 0])}
    values |= {f"ap{100 * t:.0f}": _mean(curves.precision[p, ..., 0]) for p, t in _NAMED}
    values |= {f"ap_{n}": _mean(curves.precision[..., p]) for p, n in _RANGES}
    values |= {f"ar{most}": _mean(curves.recall[:, :, 0, p]) for p, most in enumerate(MOST)}
    values |= {f"ar_{n}": _mean(curves.recall[:, :, p, -1]) for p, n in _RANGES}
    return {f"{kind}_{name}": 100 * value for name, value in values.items() if value is not None}


def precision_by_category(curves: Curves, ids: list[int]) -> dict[int, float]:
    """Returns AP in percent by category id, less categories without objects."""
    values = {one: _mean(curves.precision[:, :, place, 0]) for place, one in enumerate(ids)}
    return {one: 100 * value for one, value in values.items() if value is not None}


# Places of the thresholds and ranges that have figures of their own.
_NAMED = ((0, 0.5), (5, 0.75))
_RANGES = tuple(enumerate(SIZES))[1:]


def _mean(values: Numbers) -> float | None:
    """Returns the mean of what is not -1; None if all is."""
    present = values[values > -1]
    return float(np.mean(present)) if len(present) else None


def quality(right: int, wrong: int, objects: int) -> float:
    """Returns the F1 of one picture.

    Args:
        right: Detections that found an object.
        wrong: Detections that found none.
        objects: Objects to be found.
    """
    return 2 * right / (right + wrong + objects) if right + wrong + objects else 1.0


def warnings_of(found: Mapping[Kind, int], objects: int) -> tuple[str, ...]:
    """Returns what makes figures mean less than they seem.

    Args:
        found: Detections of each kind over all pictures.
        objects: Objects that count over all pictures.
    """
    lines = [
        f"no {kind} was detected in any picture: its figures are 0"
        for kind, count in found.items()
        if count == 0 and objects
    ]
    if not objects:
        lines.append("the ground truth has no objects: there are no figures")
    return tuple(lines)
