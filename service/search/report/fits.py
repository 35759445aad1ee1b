"""Least squares and means with 95 % confidence, in closed form."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CONFIDENCE = 0.95

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """A polynomial of least squares, and how sure its mean is."""

    coefficients: Numbers
    """Of 1, z, z², … with z = (x − centre) / spread."""
    covariance: Numbers
    """(XᵀX)⁻¹ of the coefficients, without the residual variance."""
    variance: float
    """Residual variance s²: squared residuals over the degrees of freedom."""
    degrees: int
    """Degrees of freedom: points less coefficients."""
    centre: float
    """Origin of z."""
    spread: float
    """Unit of z."""

    def mean(self, x: Numbers) -> Numbers:
        """Returns the fitted mean at each x."""
        return self._design(x) @ self.coefficients

    def half_width(self, x: Numbers) -> Numbers:
        """Returns half the width of the 95 % confidence band of the mean: t·s·√(xᵀ(XᵀX)⁻¹x)."""
        design = self._design(x)
        leverage = np.einsum("ij,jk,ik->i", design, self.covariance, design)
        error: Numbers = np.sqrt(self.variance * np.maximum(leverage, 0.0))
        return t_quantile(self.degrees) * error

    def _design(self, x: Numbers) -> Numbers:
        return _powers((x - self.centre) / self.spread, len(self.coefficients))


def _powers(z: Numbers, size: int) -> Numbers:
    return np.stack([z**power for power in range(size)], axis=1)


def fit(x: Sequence[float], y: Sequence[float]) -> Fit | None:
    """Returns a parabola of least squares; a line where x has fewer than four distinct values.

    Returns:
        None with one distinct value of x, or fewer points than coefficients and one.
    """
    places, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(places) == 0 or np.ptp(places) == 0:
        return None
    centre = float(places.max() + places.min()) / 2
    spread = float(np.ptp(places)) / 2
    scaled = (places - centre) / spread
    # Nearer than a thousandth of the range, values would bend a parabola at will.
    distinct = len(np.unique(scaled.round(3)))
    size = 3 if distinct >= 4 else 2
    degrees = len(places) - size
    if degrees < 1:
        return None
    design = _powers(scaled, size)
    covariance = np.asarray(np.linalg.inv(design.T @ design), dtype=np.float64)
    coefficients = covariance @ design.T @ values
    variance = float(((values - design @ coefficients) ** 2).sum()) / degrees
    return Fit(coefficients, covariance, variance, degrees, centre, spread)


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns a mean and half the width of its 95 % t-interval; None for a single value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, t_quantile(len(values) - 1) * error


def t_quantile(degrees: int) -> float:
    """Returns what Student's t exceeds in neither direction with 95 % probability."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # SciPy ships no types

    return float(stdtrit(degrees, 1 - (1 - _CONFIDENCE) / 2))
