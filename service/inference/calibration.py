"""Whether a classifier is as often right as it is sure.

Guo, Pleiss, Sun, Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017
(arXiv 1706.04599), sections 2 and 3: answers are sorted by their confidence into M bins of equal
width, bin m holding ((m − 1)/M, m/M]. The expected calibration error is

    ECE = Σ_m |B_m|/n · |acc(B_m) − conf(B_m)|        (equation 3).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.inference.answers import Answers

BINS = 15
"""M, as in the paper's tables."""


@dataclass(frozen=True)
class Calibration:
    """Confidence and accuracy by bin."""

    pictures: NDArray[np.int64]
    """|B_m|, (M,)."""
    accuracy: NDArray[np.float64]
    """acc(B_m), 0 to 1; NaN for an empty bin, (M,)."""
    confidence: NDArray[np.float64]
    """conf(B_m), 0 to 1; NaN for an empty bin, (M,)."""

    @property
    def error(self) -> float:
        """Expected calibration error, percent; NaN without pictures."""
        filled = self.pictures > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        total = self.pictures.sum()
        return float(100 * (self.pictures[filled] * gaps).sum() / total) if total else float("nan")


def calibration(answers: Answers, bins: int = BINS) -> Calibration:
    """Sorts answers into bins.

    Args:
        answers: All answers.
        bins: M.
    """
    upper = np.arange(1, bins + 1) / bins
    # Rounding may have made a little more than 1 of a probability.
    place = np.minimum(np.searchsorted(upper, answers.confidence, side="left"), bins - 1)
    pictures = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, one, bins) for one in (answers.right, answers.confidence))
    means = (np.divide(one, pictures, np.full(bins, np.nan), where=pictures > 0) for one in sums)
    return Calibration(pictures, *means)
