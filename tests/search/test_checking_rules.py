"""What a person reads about conditions, constraints, searches and schedulers that cannot work."""

from collections.abc import Callable
from typing import Any

import pytest

from service.config.cifar import CIFARConfig
from service.config.errors import ConfigurationError
from service.config.sweep import SweepConfig
from service.search.checking import check_space

MakeSweep = Callable[..., SweepConfig]
Check = Callable[..., list[str]]

_KIND = "model.regularizer.kind"
_P_L = "model.regularizer.p_l"
_LEVEL = "model.regularizer.level"
_DROP = "model.regularizer.drop_prob"
_LOW, _HIGH = "model.regularizer.alpha.low", "model.regularizer.alpha.high"
_RANDOM = {"search": {"kind": "random"}, "trials": 5}
_NO_VALUE = "goes with no value of the other fields"


def _choice(*values: object, **when: object) -> dict[str, Any]:
    return {"kind": "choice", "values": list(values), **when}


def _uniform(low: float, high: float, **more: object) -> dict[str, Any]:
    return {"kind": "uniform", "low": low, "high": high, **more}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {_P_L: _choice(0.5, when={"model.regularizer.kin": ["none"]})},
            "model.regularizer.p_l: when: unknown option 'model.regularizer.kin': did you mean "
            "model.regularizer.kind or model.regularizer.p_l or model.kind?",
        ),
        (
            {_P_L: _choice(0.5, when={"model": ["shake_resnet"]})},
            "model.regularizer.p_l: when: model: is a section; name its fields, for example "
            "model.kind",
        ),
        (
            {_P_L: _choice(0.5, when={_KIND: []})},
            "model.regularizer.p_l: when: model.regularizer.kind: name at least one value",
        ),
        (
            {_P_L: _choice(0.5, when={_KIND: ["shakedrop", "shakedrp"]})},
            "model.regularizer.p_l: when: model.regularizer.kind: must be one of none, shakedrop, "
            "random_drop, shake_shake, drop_block (got 'shakedrp'); did you mean shakedrop?",
        ),
        (
            {_P_L: _choice(0.5, when={_KIND: ["random_drop", "none"]})},
            "model.regularizer.p_l: when: model.regularizer.kind is not searched and 'shakedrop' "
            "in the recipe; it is never 'random_drop' or 'none'",
        ),
        (
            {_P_L: _choice(0.5, when={_DROP: [0.1]})},
            "model.regularizer.p_l: when: model.regularizer.drop_prob: exists only with "
            "model.regularizer.kind=drop_block",
        ),
        (
            {
                _P_L: _choice(0.5, when={_KIND: ["shakedrop", "random_drop"]}),
                _KIND: _choice("none", "shakedrop"),
            },
            "model.regularizer.p_l: when: model.regularizer.kind is never 'random_drop'; it is "
            "'none' or 'shakedrop'",
        ),
        (
            {
                _P_L: _choice(0.5, when={"training.seed": [3]}),
                "training.seed": {"kind": "integer", "low": 0, "high": 2},
            },
            "model.regularizer.p_l: when: training.seed is never 3; it is 0 to 2",
        ),
        (
            {
                _P_L: _choice(0.5, when={_KIND: ["shakedrop"], "training.seed": [2]}),
                "training.seed": _choice(1, 2, when={_KIND: ["none"]}),
                _KIND: _choice("none", "shakedrop"),
            },
            "model.regularizer.p_l: when: the condition on model.regularizer.kind and "
            "training.seed never holds",
        ),
        (
            {_P_L: _choice(0.5, when={_LEVEL: ["image"]}), _KIND: _choice("none", "shakedrop")},
            "model.regularizer.p_l: when: the condition on model.regularizer.level never holds",
        ),
    ],
)
def test_a_condition_that_cannot_hold(check: Check, space: dict[str, Any], message: str) -> None:
    assert check(space) == [f"sweep.space: {message}"]


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (
            ["model.regularizer.pl < 1"],
            "unknown option 'model.regularizer.pl': did you mean model.regularizer.p_l or "
            "model.regularizer.level?",
        ),
        (
            ["1 < model.regularizer"],
            "model.regularizer: is a section; compare its fields, for example "
            "model.regularizer.kind",
        ),
        (
            ["model.regularizer.level < 3"],
            "'model.regularizer.level < 3' compares 'pixel', which is no number",
        ),
        (
            ["model.depth < 50", "model.regularizer.p_l > 0.9"],
            "'model.regularizer.p_l > 0.9' holds for no point of the space; change one of both",
        ),
        (
            ["model.regularizer.p_l < 0.8", "model.regularizer.p_l > 0.7"],
            "no point of the space fulfils all; 'model.regularizer.p_l > 0.7' holds for the "
            "fewest, 2 of 5",
        ),
    ],
)
def test_constraints_that_cannot_work(check: Check, constraints: list[str], message: str) -> None:
    space = {_P_L: _uniform(0.5, 0.9, points=5)}

    assert check(space, constraints=constraints) == [f"sweep.constraints: {message}"]


def test_a_constraint_that_no_draw_of_an_interval_fulfils(check: Check) -> None:
    lines = check({_P_L: _uniform(0.5, 0.9)}, constraints=[f"{_P_L} >= 0.95"], **_RANDOM)

    assert lines == [
        f"sweep.constraints: '{_P_L} >= 0.95' holds for no point of the space; change one of both"
    ]


def test_a_condition_on_any_value_of_an_interval(check: Check) -> None:
    space = {_P_L: _choice(0.5, when={"optimizer.lr": [0.2]}), "optimizer.lr": _uniform(0.1, 0.3)}

    assert check(space, **_RANDOM) == [
        "sweep.space: model.regularizer.p_l: when: optimizer.lr has any value between two ends; "
        "give it points, or make it a choice"
    ]


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_only_a_grid_has_a_number_of_trials_of_its_own(check: Check, kind: str) -> None:
    assert check({_P_L: _choice(0.5)}, search={"kind": kind}) == [
        "sweep.trials: auto takes all points of a grid; give a number with "
        f"sweep.search.kind={kind}"
    ]


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_times_are_compared_only_where_no_trial_is_stopped(check: Check, scheduler: str) -> None:
    search = {"kind": "tpe", "objectives": "metric_and_time"}
    space = {_P_L: _uniform(0.5, 0.9)}

    assert check(space, search=search, trials=5) == []
    assert check(space, search=search, trials=5, scheduler={"kind": scheduler}) == [
        "sweep.search.objectives: metric_and_time needs sweep.scheduler.kind=none: the time of a "
        "trial that was stopped cannot be compared"
    ]


def test_population_based_training_does_not_go_with_tpe(check: Check) -> None:
    space, search = {_P_L: _uniform(0.5, 0.9)}, {"kind": "tpe"}

    assert check(space, search=search, trials=5, scheduler={"kind": "pbt"}) == [
        "sweep.search.kind: tpe does not go with sweep.scheduler.kind=pbt, which changes the "
        "values that it proposed; choose random"
    ]


def test_population_based_training_changes_only_what_can_change(
    recipe: dict[str, Any], make_sweep: MakeSweep
) -> None:
    space = {
        "model.depth": _choice(20),
        _P_L: _choice(0.5, when={_KIND: ["shakedrop"]}),
        "optimizer.lr": _choice(0.1, 0.2),
    }
    sweep = make_sweep(space, scheduler={"kind": "pbt"})

    with pytest.raises(ConfigurationError) as caught:
        check_space(
            sweep, CIFARConfig, recipe, changeable={"optimizer.lr", "optimizer.beta1", _P_L}
        )

    assert str(caught.value).splitlines() == [
        "sweep.space: model.depth: cannot change while a trial trains, as "
        "sweep.scheduler.kind=pbt needs; it can search model.regularizer.p_l, optimizer.lr",
        "sweep.space: model.regularizer.p_l: when: does not go with sweep.scheduler.kind=pbt; "
        "remove it",
    ]
