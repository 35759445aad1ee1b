"""Closed forms of the coefficients.

Statistical bound: a sample mean or variance lies within 5 standard errors of its closed form (a
chance of 6e-7 to miss, and the seed is fixed).
"""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from service.regularization import ShakeDrop
from service.regularization.shakedrop import Gate, Level

Coefficients = Callable[..., tuple[Tensor, Tensor]]

LEVELS = ("batch", "image", "channel", "pixel")
GATES = ("batch", "sample")
RANGES = [
    ((-1.0, 1.0), (0.0, 1.0)),  # the paper's for branches that end with batch normalisation
    ((0.0, 0.0), (0.0, 1.0)),  # the paper's with a ReLU after the addition
    ((0.0, 1.0), (-0.5, 2.0)),
    ((-0.3, 0.9), (0.4, 0.4)),
]


def closed_form(p: float, interval: tuple[float, float]) -> tuple[float, float]:
    """E and Var of b + a − ba for a ~ U[low, high]: p + (1−p)E[a] and p + (1−p)E[a²] − E²."""
    low, high = interval
    mean = p + (1 - p) * (low + high) / 2
    square = p + (1 - p) * (low * low + low * high + high * high) / 3
    return mean, square - mean * mean


def assert_moments(draws: Tensor, p: float, interval: tuple[float, float]) -> None:
    draws = draws.double().flatten()
    mean, variance = closed_form(p, interval)
    centred = draws - mean
    mean_error = (variance / len(draws)) ** 0.5
    # fp32 rounding of a coefficient is below 1e-6; it alone remains where the variance is 0.
    assert abs(centred.mean()) <= 5 * mean_error + 1e-6
    squares = centred.square()
    assert abs(squares.mean() - variance) <= 5 * squares.std() / len(draws) ** 0.5 + 1e-6


def test_the_papers_example() -> None:
    assert closed_form(0.5, (-1, 1)) == pytest.approx((0.5, 0.416667), abs=1e-6)
    assert closed_form(0.5, (0, 1)) == pytest.approx((0.75, 0.104167), abs=1e-6)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize(("alpha", "beta"), RANGES)
def test_moments_follow_p_and_the_ranges(
    coefficients: Coefficients, p: float, alpha: tuple[float, float], beta: tuple[float, float]
) -> None:
    unit = ShakeDrop(p, alpha, beta, level="image", gate="sample")
    forward, backward = coefficients(unit, 50_000, 1)
    assert_moments(forward, p, alpha)
    assert_moments(backward, p, beta)


@pytest.mark.parametrize(("level", "gate"), [*itertools.product(LEVELS, GATES)])
def test_moments_hold_at_every_level_and_gate(
    coefficients: Coefficients, level: Level, gate: Gate
) -> None:
    alpha, beta = (-1.0, 1.0), (0.25, 1.0)
    unit = ShakeDrop(0.5, alpha, beta, level=level, gate=gate)
    passes = [coefficients(unit, 2, 2, 2) for _ in range(1500)]
    # One value of each pass: the others are not independent of it.
    assert_moments(torch.stack([forward[1, 1, 1] for forward, _ in passes]), 0.5, alpha)
    assert_moments(torch.stack([backward[1, 1, 1] for _, backward in passes]), 0.5, beta)


@pytest.mark.parametrize("alpha", [(-1.0, 1.0), (0.0, 1.0), (0.0, 0.0), (-0.25, 2.0)])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_mean_training_output_is_the_evaluation_output(
    coefficients: Coefficients, p: float, alpha: tuple[float, float]
) -> None:
    unit = ShakeDrop(p, alpha, level="image", gate="sample")
    forward, _ = coefficients(unit, 50_000, 1)
    expected, _ = coefficients(unit.eval(), 1, 1)
    error = 5 * float(forward.std()) / 50_000**0.5 + 1e-6
    assert float(forward.mean()) == pytest.approx(float(expected), abs=error)


def test_half_precision_draws_are_not_biased(coefficients: Coefficients) -> None:
    # A uniform draw made in bf16 itself has 256 values and a mean of 0.498: 7 standard errors off.
    unit = ShakeDrop(0.0, (0.0, 1.0), (0.0, 1.0), level="pixel")
    forward, backward = coefficients(unit, 1_000_000, 1, dtype=torch.bfloat16)
    assert_moments(forward, 0.0, (0.0, 1.0))
    assert_moments(backward, 0.0, (0.0, 1.0))
