"""The values of one searched field, and draws of them."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from service.config.sweep import Distribution, LogUniformConfig, UniformConfig
from service.search.dimension import Dimension

Seeded = Callable[[int], Random]


def _dimension(**distribution: Any) -> Dimension:  # noqa: ANN401  # as YAML
    return Dimension("x", TypeAdapter(Distribution).validate_python(distribution))


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (
            {"kind": "choice", "values": ["pixel", None, True, 1.5, 2]},
            ["pixel", None, True, 1.5, 2],
        ),
        ({"kind": "integer", "low": -1, "high": 2}, [-1, 0, 1, 2]),
        ({"kind": "uniform", "low": 0.1, "high": 0.5, "points": 5}, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ({"kind": "uniform", "low": 0, "high": 1, "points": 2}, [0.0, 1.0]),
        (
            {"kind": "uniform", "low": 0, "high": 1, "points": 4},
            [0.0, 0.333333333333, 0.666666666667, 1.0],
        ),
        (
            {"kind": "log_uniform", "low": 1e-4, "high": 1, "points": 5},
            [0.0001, 0.001, 0.01, 0.1, 1.0],
        ),
    ],
)
def test_the_values_are_exactly_these(distribution: dict[str, Any], values: list[object]) -> None:
    assert list(_dimension(**distribution).values or ()) == values


def test_whole_numbers_stay_whole_and_spaced_ones_are_fractions(seeded: Seeded) -> None:
    whole = _dimension(kind="integer", low=16, high=64)
    spaced = _dimension(kind="uniform", low=16, high=64, points=4)

    assert {type(value) for value in whole.values or ()} == {int}
    assert type(whole.draw(seeded(0))) is int
    assert {type(value) for value in spaced.values or ()} == {float}


def test_an_interval_without_points_cannot_be_counted() -> None:
    assert _dimension(kind="uniform", low=0, high=1).values is None
    assert _dimension(kind="log_uniform", low=0.1, high=1).values is None


@given(
    low=st.floats(1e-6, 1e3),
    width=st.floats(1e-3, 1e3),
    points=st.none() | st.integers(2, 9),
    logarithmic=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_draws_lie_between_the_ends_and_belong(
    seeded: Seeded, low: float, width: float, points: int | None, logarithmic: bool, seed: int
) -> None:
    kind = LogUniformConfig if logarithmic else UniformConfig
    dimension = Dimension("x", kind(low=low, high=low + width, points=points))
    random = seeded(seed)

    for value in [dimension.draw(random) for _ in range(5)]:
        assert isinstance(value, float)
        assert low <= value <= low + width
        assert dimension.contains(value)


def test_a_logarithmic_draw_has_each_order_of_magnitude_as_often(seeded: Seeded) -> None:
    """Within 5 standard errors of a third in each of three decades."""
    dimension, random, count = _dimension(kind="log_uniform", low=1e-3, high=1), seeded(1), 3000

    values = [dimension.draw(random) for _ in range(count)]

    bound = 5 * (count * 1 / 3 * 2 / 3) ** 0.5
    for low, high in [(1e-3, 1e-2), (1e-2, 1e-1), (1e-1, 1)]:
        within = sum(isinstance(value, float) and low <= value < high for value in values)
        assert abs(within - count / 3) < bound


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        ({"kind": "choice", "values": ["image", 1, None]}, ["image", 1, 1.0, None], [True, 0, "1"]),
        ({"kind": "choice", "values": [True]}, [True], [1, 1.0, False]),
        ({"kind": "integer", "low": 0, "high": 3}, [0, 3, 2.0], [-1, 4, 1.5, True, "1", None]),
        ({"kind": "uniform", "low": 0, "high": 3}, [0, 3.0, 1.5], [-0.1, 3.1, True, "1", None]),
        ({"kind": "uniform", "low": 0, "high": 1, "points": 3}, [0, 0.5], [0.25, True, None]),
    ],
)
def test_what_a_field_may_be(
    distribution: dict[str, Any], inside: list[Any], outside: list[Any]
) -> None:
    dimension = _dimension(**distribution)

    assert [value for value in inside if not dimension.contains(value)] == []
    assert [value for value in outside if dimension.contains(value)] == []
