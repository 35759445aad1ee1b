"""Who proposes: what is asked over a whole sweep, and over one that was cut off and resumed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from service.config.errors import ConfigurationError
from service.config.sweep import SweepConfig
from service.search.configurations import Configurations
from service.search.proposals import Proposals
from service.search.space import identity
from service.search.trials import Change, Point, Status, Trial

MakeSweep = Callable[..., SweepConfig]
MakeTrial = Callable[..., Trial]
Build = Callable[..., Proposals]
Seeded = Callable[[int], Random]

ROOT = Path(__file__).parents[2]
_P_L = "model.regularizer.p_l"
_LOW, _HIGH = "model.regularizer.alpha.low", "model.regularizer.alpha.high"
_TOTAL = 8
_FINITE = {
    _LOW: {"kind": "uniform", "low": -1, "high": 1, "points": 3},
    _HIGH: {"kind": "choice", "values": [-1.0, 0.0, 1.0]},
    "training.seed": {"kind": "integer", "low": 0, "high": 1},
}
_INFINITE = {
    _P_L: {"kind": "uniform", "low": 0, "high": 1},
    "optimizer.lr": {"kind": "log_uniform", "low": 1e-3, "high": 1},
}
_ENDS: tuple[Status, ...] = ("finished", "failed", "running", "stopped")
_SWEEPS = [
    pytest.param(_FINITE, {"search": {"kind": "grid"}}, id="grid"),
    pytest.param(_FINITE, {"search": {"kind": "grid"}, "trials": _TOTAL}, id="part of a grid"),
    pytest.param(_FINITE, {"scheduler": {"kind": "asha"}}, id="shuffled grid"),
    pytest.param(_FINITE, {"search": {"kind": "random", "seed": 4}, "trials": _TOTAL}, id="finite"),
    pytest.param(_INFINITE, {"search": {"kind": "random"}, "trials": _TOTAL}, id="infinite"),
]


def _rest(proposals: Proposals) -> list[Point]:
    points = []
    while (point := proposals.ask()) is not None:
        points.append(point)
    assert proposals.ask() is None
    return points


@pytest.mark.parametrize(("space", "settings"), _SWEEPS)
def test_every_proposal_is_valid_and_new(
    built: Build, configurations: Configurations, space: dict[str, Any], settings: dict[str, Any]
) -> None:
    proposals = built(space, **settings)

    points = _rest(proposals)

    assert len(points) == proposals.total == settings.get("trials", 12)
    assert len({identity(point) for point in points}) == len(points)
    assert all(configurations.problems(point) == [] for point in points)


@pytest.mark.parametrize(("space", "settings"), _SWEEPS)
def test_a_resumed_sweep_proposes_what_the_whole_one_would_have(
    built: Build, make_trial: MakeTrial, space: dict[str, Any], settings: dict[str, Any]
) -> None:
    """At every cut, with past trials in every state, read back from JSON."""
    whole = _rest(built(space, **settings))

    for cut in range(len(whole) + 1):
        resumed = built(space, **settings)
        past = json.loads(json.dumps(whole[:cut]))
        for number, point in enumerate(past, start=1):
            resumed.tell(make_trial(number, point, 70.0, _ENDS[number % 4]))

        assert _rest(resumed) == whole[cut:]


@pytest.mark.parametrize(("space", "settings"), _SWEEPS)
def test_the_order_of_past_trials_and_their_ends_change_nothing(
    built: Build,
    make_trial: MakeTrial,
    seeded: Seeded,
    space: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    whole = _rest(built(space, **settings))
    resumed = built(space, **settings)
    past = list(enumerate(whole[:5], start=1))
    seeded(0).shuffle(past)
    for number, point in past:
        resumed.tell(make_trial(number, point, status="running"))

    following = [resumed.ask()]
    for number, point in past:
        resumed.tell(make_trial(number, point, 70.0))
    resumed.tell(make_trial(6, whole[5], status="failed"))

    assert following + _rest(resumed) == whole[5:]


def test_a_trial_that_took_over_another_keeps_its_place(built: Build) -> None:
    """Population based training changed the values of trial 2; its first ones are gone."""
    settings = {"search": {"kind": "random"}, "trials": 4, "scheduler": {"kind": "pbt"}}
    whole = _rest(built(_INFINITE, **settings))
    resumed = built(_INFINITE, **settings)
    changed: Point = {_P_L: 0.123, "optimizer.lr": 0.5}

    resumed.tell(Trial(1, whole[0]))
    resumed.tell(Trial(2, changed, changes=(Change(1.0, 1, changed),)))

    assert _rest(resumed) == whole[2:]


def test_a_longer_sweep_goes_on_where_the_shorter_ended(
    built: Build, make_trial: MakeTrial
) -> None:
    search = {"kind": "random", "seed": 2}
    short = _rest(built(_INFINITE, search=search, trials=3))
    longer = built(_INFINITE, search=search, trials=5)
    for number, point in enumerate(short, start=1):
        longer.tell(make_trial(number, point, 70.0))

    assert short + _rest(longer) == _rest(built(_INFINITE, search=search, trials=5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"trials": 13},
            "sweep.trials: 13 exceeds the 12 points that the space has; give at most 12",
        ),
        (
            {"trials": 13, "search": {"kind": "random"}},
            "sweep.trials: 13 exceeds the 12 points that the space has; give at most 12",
        ),
        (
            {"trials": 13, "search": {"kind": "tpe"}},
            "sweep.trials: 13 exceeds the 12 points that the space has; give at most 12",
        ),
        (
            {"search": {"kind": "tpe"}},
            "sweep.trials: auto takes all points of a grid; give a number with "
            "sweep.search.kind=tpe",
        ),
        (
            {"constraints": ["training.seed > 1"]},
            "sweep.constraints: 'training.seed > 1' holds for no point of the space; change one of "
            "both",
        ),
    ],
)
def test_a_sweep_that_cannot_work_is_refused(
    built: Build, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        built(_FINITE, **settings)

    assert str(caught.value) == message


def test_a_grid_is_shuffled_only_where_trials_are_compared_with_those_before(built: Build) -> None:
    space = {"training.seed": {"kind": "integer", "low": 0, "high": 11}}
    ordered = _rest(built(space))
    assert ordered == [{"training.seed": seed} for seed in range(12)]
    shuffled = _rest(built(space, scheduler={"kind": "asha"}))
    assert shuffled != ordered
    assert sorted(shuffled, key=lambda point: point["training.seed"]) == ordered
    assert _rest(built(space, scheduler={"kind": "asha"})) == shuffled


def test_a_constraint_reduces_the_grid(built: Build) -> None:
    points = _rest(built(_FINITE, constraints=[f"{_LOW} < {_HIGH}", "training.seed == 1"]))

    assert [(point[_LOW], point[_HIGH]) for point in points] == [(-1, 0), (-1, 1), (0, 1)]


def test_only_a_search_with_optuna_imports_it() -> None:
    program = """
import sys
from service.config.cifar import CIFARConfig
from service.config.sweep import SweepConfig
from service.search.proposals import build
space = {"optimizer.lr": {"kind": "choice", "values": [0.1, 0.2]}}
sweep = SweepConfig.model_validate({"space": space})
build(sweep, CIFARConfig, {}).ask()
assert "optuna" not in sys.modules
sweep = SweepConfig.model_validate({"space": space, "search": {"kind": "tpe"}, "trials": 1})
build(sweep, CIFARConfig, {}).ask()
assert "optuna" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
