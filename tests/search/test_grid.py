"""The points of a grid search."""

from collections.abc import Callable
from typing import Any

import pytest

from service.config.errors import ConfigurationError
from service.search.configurations import Configurations
from service.search.constraints import Constraint
from service.search.feasibility import Feasibility
from service.search.grid import grid_points
from service.search.space import Space

MakeSpace = Callable[..., Space]

_LOW, _HIGH = "model.regularizer.alpha.low", "model.regularizer.alpha.high"


@pytest.fixture
def ends(make_space: MakeSpace) -> Space:
    """Three values for each end of α, of which six pairs are in order."""
    values = {"kind": "uniform", "low": -1, "high": 1, "points": 3}
    return make_space({_LOW: values, _HIGH: values})


def _pairs(points: list[Any]) -> list[tuple[float, float]]:
    return [(point[_LOW], point[_HIGH]) for point in points]


def test_a_grid_has_all_points_that_the_configuration_allows(
    ends: Space, configurations: Configurations
) -> None:
    points = grid_points(ends, Feasibility(configurations), None)

    assert _pairs(points) == [(-1, -1), (-1, 0), (-1, 1), (0, 0), (0, 1), (1, 1)]


def test_a_grid_leaves_out_what_a_constraint_refuses(
    ends: Space, configurations: Configurations
) -> None:
    feasibility = Feasibility(configurations, (Constraint.parse(f"{_LOW} < {_HIGH}"),))

    assert _pairs(grid_points(ends, feasibility, None)) == [(-1, 0), (-1, 1), (0, 1)]


@pytest.mark.parametrize(
    ("trials", "positions"),
    [(1, [0]), (2, [0, 5]), (3, [0, 2, 5]), (4, [0, 2, 3, 5]), (6, [0, 1, 2, 3, 4, 5])],
)
def test_fewer_trials_are_spread_over_the_grid(
    ends: Space, configurations: Configurations, trials: int, positions: list[int]
) -> None:
    feasibility = Feasibility(configurations)
    every = grid_points(ends, feasibility, None)

    assert grid_points(ends, feasibility, trials) == [every[position] for position in positions]


def test_more_trials_than_points_are_refused(ends: Space, configurations: Configurations) -> None:
    with pytest.raises(ConfigurationError) as caught:
        grid_points(ends, Feasibility(configurations), 7)

    assert str(caught.value) == (
        "sweep.trials: 7 exceeds the 6 points that the space has; give at most 6"
    )


def test_a_grid_that_nobody_can_train_is_refused(
    make_space: MakeSpace, configurations: Configurations
) -> None:
    space = make_space({"training.seed": {"kind": "integer", "low": 0, "high": 10**12}})

    with pytest.raises(ConfigurationError) as caught:
        grid_points(space, Feasibility(configurations), 5)

    assert str(caught.value) == (
        "sweep.space: the grid has more than 10000 points; give fewer, or choose "
        "sweep.search.kind=random"
    )
