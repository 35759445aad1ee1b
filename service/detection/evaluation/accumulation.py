"""Matches of all pictures to precision and recall, as COCO defines them.

Everything is computed in the order and type in which pycocotools computes it (cocoeval.py,
`accumulate`), so that results are equal to the last digit.
"""

from dataclasses import dataclass

import numpy as np

from service.detection.evaluation.matching import THRESHOLDS, Booleans
from service.detection.evaluation.regions import Integers, Numbers

RECALLS: Numbers = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is read, R of them."""
MOST: tuple[int, ...] = (1, 10, 100)
"""Detections of a picture and category that recall is given for, M of them; precision takes the
last."""

# pycocotools' guard against a division by zero.
_LEAST = np.spacing(1)


@dataclass(frozen=True)
class Verdicts:
    """Detections with what became of them, in any order."""

    pictures: Integers
    """(n,), picture ids."""
    categories: Integers
    """(n,), places among the ascending category ids."""
    ranks: Integers
    """(n,), place by score in the picture and category."""
    scores: Numbers
    """(n,)."""
    right: Booleans
    """(n, A, T), see `Matches`."""
    wrong: Booleans
    """(n, A, T)."""


@dataclass(frozen=True)
class Curves:
    """Precision and recall of K categories; -1 where there are no objects to find."""

    precision: Numbers
    """(T, R, K, A): at each threshold, recall, category and range of areas."""
    recall: Numbers
    """(T, K, A, M): highest recall with so many detections."""


def accumulate(verdicts: Verdicts, objects: Integers) -> Curves:
    """Returns precision and recall over all pictures.

    Args:
        verdicts: The detections of all pictures.
        objects: Objects that count, (K, A).
    """
    categories, ranges = objects.shape
    precision = -np.ones((len(THRESHOLDS), len(RECALLS), categories, ranges))
    recall = -np.ones((len(THRESHOLDS), categories, ranges, len(MOST)))
    # pycocotools sorts by score only, after pictures in the order of ids; ours is the same order.
    order = np.lexsort((verdicts.ranks, verdicts.pictures, -verdicts.scores, verdicts.categories))
    bounds = np.searchsorted(verdicts.categories[order], np.arange(categories + 1))
    for category in range(categories):
        rows = order[bounds[category] : bounds[category + 1]]
        ranks = verdicts.ranks[rows]
        # (A, T, n): each threshold's detections in a row.
        right = np.ascontiguousarray(verdicts.right[rows].transpose(1, 2, 0))
        wrong = np.ascontiguousarray(verdicts.wrong[rows].transpose(1, 2, 0))
        for place in np.flatnonzero(objects[category]).tolist():
            count = objects[category, place]
            precision[:, :, category, place] = _precision(right[place], wrong[place], count)
            for column, most in enumerate(MOST):
                hits = np.count_nonzero(right[place] & (ranks < most), axis=1)
                recall[:, category, place, column] = hits / count
    return Curves(precision, recall)


def _precision(right: Booleans, wrong: Booleans, objects: int) -> Numbers:
    """Returns the best precision at each recall or a higher one, (T, R); 0 beyond the last.

    Args:
        right: (T, n), by descending score.
        wrong: (T, n).
        objects: Objects to find.
    """
    hits = np.cumsum(right, axis=1, dtype=np.float64)
    misses = np.cumsum(wrong, axis=1, dtype=np.float64)
    precision = hits / (misses + hits + _LEAST)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / objects
    read = np.zeros((len(right), len(RECALLS)))
    for line, (reached, values) in enumerate(zip(recall, best, strict=True)):
        places = np.searchsorted(reached, RECALLS, side="left")
        within = places < len(values)
        read[line, within] = values[places[within]]
    return read
