"""Random points, none of them twice."""

from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from service.config.errors import ConfigurationError
from service.search import drawing
from service.search.configurations import Configurations
from service.search.constraints import Constraint
from service.search.drawing import check_count, drawn_points
from service.search.feasibility import Feasibility
from service.search.space import Space, identity

MakeSpace = Callable[..., Space]

_LOW, _HIGH = "model.regularizer.alpha.low", "model.regularizer.alpha.high"


@pytest.mark.parametrize("explicit", [False, True])
def test_no_draw_is_an_invalid_configuration(
    make_space: MakeSpace, configurations: Configurations, alpha: dict[str, Any], explicit: bool
) -> None:
    constraints = (Constraint.parse(f"{_LOW} <= {_HIGH}"),) if explicit else ()
    drawn = drawn_points(make_space(alpha), Feasibility(configurations, constraints), 1)

    for point in islice(drawn, 300):
        built = configurations.configure(point).model.regularizer.model_dump()
        assert built["alpha"] == {"low": point[_LOW], "high": point[_HIGH]}


def test_draws_are_those_of_their_seed(
    make_space: MakeSpace, configurations: Configurations, regularizers: dict[str, Any]
) -> None:
    space, feasibility = make_space(regularizers), Feasibility(configurations)

    one, same, other = (list(islice(drawn_points(space, feasibility, s), 20)) for s in (5, 5, 6))

    assert one == same
    assert not {identity(point) for point in one} & {identity(point) for point in other}


def test_a_point_without_further_fields_is_drawn_once(
    make_space: MakeSpace, configurations: Configurations, regularizers: dict[str, Any]
) -> None:
    """A quarter of the draws has no regulariser and nothing else that would tell them apart."""
    space = make_space({p: d for p, d in regularizers.items() if p != "optimizer.lr"})

    points = list(islice(drawn_points(space, Feasibility(configurations), 0), 100))

    assert len({identity(point) for point in points}) == 100
    assert sum(point["model.regularizer.kind"] == "none" for point in points) == 1


def test_a_space_that_can_be_counted_comes_whole_and_once(
    make_space: MakeSpace, configurations: Configurations
) -> None:
    values = {"kind": "uniform", "low": -1, "high": 1, "points": 9}
    space, feasibility = make_space({_LOW: values, _HIGH: values}), Feasibility(configurations)

    points = list(drawn_points(space, feasibility, 0))

    valid = [point for point in space.grid() if feasibility.refusal(point) is None]
    assert len(valid) == 45
    assert {identity(point) for point in points} == {identity(point) for point in valid}
    assert len(points) == 45
    assert points != valid


def test_each_point_of_a_small_space_comes_first_as_often(
    make_space: MakeSpace, configurations: Configurations
) -> None:
    """Within 5 standard errors of a quarter over 400 seeds."""
    space = make_space({"training.seed": {"kind": "integer", "low": 0, "high": 3}})
    feasibility = Feasibility(configurations)

    first = Counter(next(drawn_points(space, feasibility, s))["training.seed"] for s in range(400))

    assert all(abs(first[value] - 100) < 5 * (400 * 3 / 16) ** 0.5 for value in range(4))


def test_a_large_space_ends_when_nothing_new_comes(
    make_space: MakeSpace, configurations: Configurations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The constraint leaves one of 20 000 batch sizes; a tenth of the draws is enough here."""
    monkeypatch.setattr(drawing, "_DRAWS", 1000)
    space = make_space({"training.batch_size": {"kind": "integer", "low": 1, "high": 20_000}})
    feasibility = Feasibility(configurations, (Constraint.parse("training.batch_size < 2"),))

    assert len(list(drawn_points(space, feasibility, 0))) <= 1


def test_more_trials_than_points_are_refused(
    make_space: MakeSpace, configurations: Configurations
) -> None:
    space = make_space({_LOW: {"kind": "uniform", "low": -1, "high": 2, "points": 4}})
    feasibility = Feasibility(configurations)

    check_count(space, feasibility, 3)
    with pytest.raises(ConfigurationError) as caught:
        check_count(space, feasibility, 4)
    assert str(caught.value) == (
        "sweep.trials: 4 exceeds the 3 points that the space has; give at most 3"
    )
