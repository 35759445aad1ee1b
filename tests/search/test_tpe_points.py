"""Which points the search that learns proposes: valid ones, new ones, of the space."""

from collections.abc import Callable
from typing import Any

import pytest

from service.config.sweep import SweepConfig
from service.search.configurations import Configurations
from service.search.constraints import Constraint
from service.search.feasibility import Feasibility
from service.search.proposals import Proposals
from service.search.trials import Point, Trial

MakeSweep = Callable[..., SweepConfig]
MakeTrial = Callable[..., Trial]
Searched = Callable[..., Proposals]
RunSweep = Callable[..., list[Point]]

_P_L, _LR, _MOMENTUM = "model.regularizer.p_l", "optimizer.lr", "optimizer.momentum"
_KIND, _SEED = "model.regularizer.kind", "training.seed"
_LOW, _HIGH = "model.regularizer.alpha.low", "model.regularizer.alpha.high"
_SPACE = {
    _LR: {"kind": "log_uniform", "low": 1e-4, "high": 10},
    _MOMENTUM: {"kind": "uniform", "low": 0, "high": 0.99},
    _P_L: {"kind": "uniform", "low": 0, "high": 1},
}


def _number(point: Point, path: str) -> float:
    value = point[path]
    assert isinstance(value, int | float)
    return value


def test_past_trials_outside_the_space_are_counted_and_not_learned_from(
    searched: Searched, make_trial: MakeTrial
) -> None:
    proposals = searched({_P_L: {"kind": "uniform", "low": 0.5, "high": 0.9}}, 3)

    proposals.tell(make_trial(1, {_P_L: 0.2}, 99.0))
    proposals.tell(make_trial(2, {_P_L: 0.6, _LR: 0.1}, 99.0))

    assert 0.5 <= _number(proposals.ask() or {}, _P_L) <= 0.9
    assert proposals.ask() is None


def test_a_small_space_comes_whole_and_once(searched: Searched, run_sweep: RunSweep) -> None:
    """Spaced points, choices and whole numbers keep their values and types."""
    space = {
        _P_L: {"kind": "uniform", "low": 0.1, "high": 0.3, "points": 3},
        "training.clip_norm": {"kind": "choice", "values": [None, 1]},
        _SEED: {"kind": "integer", "low": 3, "high": 4},
    }

    points = run_sweep(searched(space, 12, {"start_trials": 3}), lambda point: 50.0)

    found = sorted((p[_P_L], str(p["training.clip_norm"]), p[_SEED]) for p in points)
    assert found == [
        (p_l, norm, seed) for p_l in (0.1, 0.2, 0.3) for norm in ("1", "None") for seed in (3, 4)
    ]
    assert {type(point[_SEED]) for point in points} == {int}


def test_spaced_points_are_learned_from_in_their_order(
    searched: Searched, run_sweep: RunSweep, make_trial: MakeTrial
) -> None:
    """After 30 draws of 101 points the mean of 10 proposals is within 0.15 of the peak at 0.8."""
    space = {_P_L: {"kind": "uniform", "low": 0, "high": 1, "points": 101}}

    def score(point: Point) -> float:
        return -((_number(point, _P_L) - 0.8) ** 2)

    proposals = searched(space, 40)
    past = run_sweep(searched(space, 30, {"kind": "random"}), score)
    for number, point in enumerate(past, start=1):
        proposals.tell(make_trial(number, point, score(point)))

    proposed = run_sweep(proposals, score)

    assert abs(sum(_number(point, _P_L) for point in proposed) / 10 - 0.8) < 0.15


@pytest.mark.parametrize("explicit", [False, True])
def test_no_proposal_is_an_invalid_configuration(
    searched: Searched,
    run_sweep: RunSweep,
    configurations: Configurations,
    alpha: dict[str, Any],
    explicit: bool,
) -> None:
    """The best points lie where the wrong order begins, α.low = α.high = 1."""
    constraints = (f"{_LOW} <= {_HIGH}", f"{_HIGH} > -0.5") if explicit else ()
    feasibility = Feasibility(configurations, tuple(Constraint.parse(c) for c in constraints))

    points = run_sweep(
        searched(alpha, 60, constraints=constraints),
        lambda point: _number(point, _LOW) + _number(point, _HIGH),
    )

    assert len(points) == 60
    assert [point for point in points if feasibility.refusal(point) is not None] == []


def test_conditional_fields_are_learned_within_their_kind(
    searched: Searched, run_sweep: RunSweep, regularizers: dict[str, Any]
) -> None:
    """ShakeDrop near P_L = 0.6 is best; of the last 20 of 60 trials at least half are ShakeDrop."""

    def score(point: Point) -> float:
        bonus = 10 - 50 * abs(_number(point, _P_L) - 0.6) if point[_KIND] == "shakedrop" else 0
        return 50 + bonus

    points = run_sweep(searched(regularizers, 60), score)

    last = [point for point in points[40:] if point[_KIND] == "shakedrop"]
    assert len(last) >= 10
    assert abs(sum(_number(point, _P_L) for point in last) / len(last) - 0.6) < 0.1
    assert all(
        (_P_L in point) == (point[_KIND] in ("shakedrop", "random_drop")) for point in points
    )


def test_where_only_known_points_look_good_new_ones_are_drawn(
    searched: Searched, run_sweep: RunSweep
) -> None:
    """Without a regulariser there is one point: it is the best, and it is proposed once."""
    space = {
        _KIND: {"kind": "choice", "values": ["none", "shakedrop"]},
        _P_L: {"kind": "uniform", "low": 0, "high": 1, "when": {_KIND: ["shakedrop"]}},
    }

    points = run_sweep(searched(space, 25), lambda point: 90.0 if len(point) == 1 else 10.0)

    assert len(points) == 25
    assert sum(point[_KIND] == "none" for point in points) == 1
