import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]  # SciPy ships no types

from service.search.report.fits import fit, mean_interval, t_quantile

GENERATOR = np.random.default_rng(0)
X = GENERATOR.uniform(-3, 5, 25)
Y = 2 - 0.7 * X + 0.3 * X**2 + GENERATOR.normal(0, 0.5, 25)
PLACES = np.linspace(-3, 5, 17)


def test_a_parabola_and_its_band_are_those_of_numpy() -> None:
    found = fit(X.tolist(), Y.tolist())
    assert found is not None
    coefficients, covariance = np.polyfit(X, Y, 2, cov=True)
    powers = np.stack([PLACES**2, PLACES, PLACES**0], axis=1)
    error = np.sqrt(np.einsum("ij,jk,ik->i", powers, covariance, powers))
    np.testing.assert_allclose(found.mean(PLACES), np.polyval(coefficients, PLACES), rtol=1e-9)
    np.testing.assert_allclose(found.half_width(PLACES), stats.t.ppf(0.975, 22) * error, rtol=1e-7)


def test_a_line_has_the_band_of_the_textbook() -> None:
    x = np.array([1.0, 1, 2, 2, 4, 4])  # three distinct values
    y = np.array([0.1, 0.4, 1.0, 1.3, 2.0, 1.6])
    found = fit(x.tolist(), y.tolist())
    assert found is not None
    line = stats.linregress(x, y)
    places = np.linspace(1, 4, 7)
    np.testing.assert_allclose(found.mean(places), line.intercept + line.slope * places)
    residual = np.sqrt(((y - line.intercept - line.slope * x) ** 2).sum() / 4)
    spread = ((x - x.mean()) ** 2).sum()
    leverage = np.sqrt(1 / 6 + (places - x.mean()) ** 2 / spread)
    expected = stats.t.ppf(0.975, 4) * residual * leverage
    np.testing.assert_allclose(found.half_width(places), expected)


def test_a_perfect_parabola_has_no_band() -> None:
    x = np.array([0.0, 1, 2, 3, 4])
    found = fit(x.tolist(), (1 + x - 2 * x**2).tolist())
    assert found is not None
    np.testing.assert_allclose(found.mean(np.array([10.0])), 1 + 10 - 200)
    np.testing.assert_allclose(found.half_width(np.array([2.5])), 0, atol=1e-9)


def test_far_from_zero_the_fit_is_as_exact() -> None:
    near, far = fit(X.tolist(), Y.tolist()), fit((X + 1e6).tolist(), Y.tolist())
    assert near is not None
    assert far is not None
    np.testing.assert_allclose(far.mean(PLACES + 1e6), near.mean(PLACES), rtol=1e-6)
    np.testing.assert_allclose(far.half_width(PLACES + 1e6), near.half_width(PLACES), rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "coefficients"),
    [
        ([], None),
        ([1, 1, 1, 1, 1], None),  # one value
        ([1, 2], None),  # a line through two points leaves nothing to judge it by
        ([1, 1, 2], 2),
        ([1, 2, 3], 2),
        ([1, 2, 3, 4], 3),
        ([1, 1.0000001, 1.0000002, 2, 2, 2], 2),  # as good as two values
    ],
)
def test_the_curve_has_no_more_coefficients_than_the_values_bear(
    x: list[float], coefficients: int | None
) -> None:
    found = fit(x, [float(place % 3) for place in range(len(x))])
    assert (None if found is None else len(found.coefficients)) == coefficients


def test_the_band_covers_the_true_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    x, at = np.linspace(0, 1, 12), np.array([0.3])
    covered = 0
    for _ in range(1000):
        found = fit(x.tolist(), (x - x**2 + generator.normal(0, 1, 12)).tolist())
        assert found is not None
        covered += bool(abs(found.mean(at) - 0.21) <= found.half_width(at))
    assert abs(covered - 950) <= 5 * (1000 * 0.95 * 0.05) ** 0.5  # 5 standard errors


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = [71.2, 70.8, 72.0, 71.1]
    mean, half = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert half is not None
    np.testing.assert_allclose([mean - half, mean + half], [low, high])


def test_one_value_has_no_interval() -> None:
    assert mean_interval([3.5]) == (3.5, None)


@pytest.mark.parametrize(("degrees", "quantile"), [(1, 12.7062), (4, 2.7764), (30, 2.0423)])
def test_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, abs=1e-4)
