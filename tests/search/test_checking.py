"""What a person reads before a sweep that cannot work: one line a mistake, and nothing started."""

from collections.abc import Callable
from typing import Any

import pytest

from service.config.cifar import CIFARConfig
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
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
    ("space", "settings"),
    [
        ({_P_L: _choice(0.5)}, {}),
        ({_P_L: _uniform(0.0, 1.0, points=11), _LEVEL: _choice("image", "pixel")}, {}),
        ({"training.seed": {"kind": "integer", "low": 0, "high": 10**9}}, _RANDOM),
        ({"training.duration": _choice("5ep", "1000st")}, {}),
        ({"training.clip_norm": _choice(None, 1.0)}, {}),
        # The ends of α meet only at 1: draws of the other end alone would never show that.
        ({_LOW: _uniform(-1, 1), _HIGH: _uniform(0, 1)}, _RANDOM),
        # Each kind of network takes another regulariser.
        (
            {
                "model.kind": _choice("shake_resnet", "cifar_pyramidnet"),
                _KIND: _choice("shake_shake", "none"),
                "model.depth": _choice(20, 26, 110),
            },
            {},
        ),
        ({_P_L: _choice(0.5, when={_LEVEL: ["pixel"], "training.seed": [0]})}, {}),
        ({_P_L: _uniform(0.5, 0.9)}, {**_RANDOM, "scheduler": {"kind": "pbt"}}),
        ({_P_L: _uniform(0.5, 0.9)}, {**_RANDOM, "trials": 1, "scheduler": {"kind": "asha"}}),
        ({_LOW: _uniform(-1, 1)}, {**_RANDOM, "constraints": [f"{_LOW} <= {_HIGH}", "1 < 2"]}),
    ],
)
def test_what_works_passes(check: Check, space: dict[str, Any], settings: dict[str, Any]) -> None:
    assert check(space, **settings) == []


def test_the_conditional_space_passes(check: Check, regularizers: dict[str, Any]) -> None:
    assert check(regularizers, **_RANDOM) == []


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {},
            "is empty; give a field and what it is drawn from, such as model.regularizer.p_l: "
            "{kind: uniform, low: 0.5, high: 0.9}",
        ),
        # Paths.
        (
            {"model.regularizer.pl": _choice(0.5)},
            "unknown option 'model.regularizer.pl': did you mean model.regularizer.p_l or "
            "model.regularizer.level?",
        ),
        (
            {"modle.depth": _choice(20)},
            "unknown option 'modle': did you mean model or checkpoint.mode?",
        ),
        ({"zzz": _choice(20)}, "unknown option 'zzz': see --help for all options"),
        ({"": _choice(20)}, "unknown option '': see --help for all options"),
        (
            # The recipe has ShakeDrop; what is meant exists with the kind that is searched.
            {_KIND: _choice("drop_block"), "model.regularizer.drop_pro": _choice(0.1)},
            "unknown option 'model.regularizer.drop_pro': did you mean "
            "model.regularizer.drop_prob or model.regularizer.ramp.over?",
        ),
        (
            {"model.regularizer": _choice("none")},
            "model.regularizer: is a section; search its fields, for example "
            "model.regularizer.kind",
        ),
        # Values.
        (
            {_P_L: _uniform(0.5, 1.5, points=3)},
            "model.regularizer.p_l: 1.5 is not allowed; allowed: number, ≥ 0 and ≤ 1",
        ),
        (
            {_P_L: _uniform(-0.5, 1.5, points=5)},
            "model.regularizer.p_l: -0.5 is not allowed; allowed: number, ≥ 0 and ≤ 1",
        ),
        (
            {_LEVEL: _choice("pixel", 3)},
            "model.regularizer.level: 3 is not allowed; allowed: batch or image or channel or "
            "pixel",
        ),
        (
            {_P_L: _choice(True)},
            "model.regularizer.p_l: True is not allowed; allowed: number, ≥ 0 and ≤ 1",
        ),
        (
            {"training.batch_size": {"kind": "integer", "low": 0, "high": 8}},
            "training.batch_size: 0 is not allowed; allowed: whole number, ≥ 1",
        ),
        (
            {_KIND: _choice("shakedrp")},
            "model.regularizer.kind: must be one of none, shakedrop, random_drop, shake_shake, "
            "drop_block (got 'shakedrp'); did you mean shakedrop?",
        ),
        (
            {_KIND: _choice("none", "shake_shake")},
            "model.regularizer.kind: shake_shake mixes two residual branches and "
            "cifar_preresnet20 has one; choose model.kind=shake_resnet, or cifar_resnext with "
            "branches=2",
        ),
        (
            {_DROP: _choice(0.1)},
            "model.regularizer.drop_prob: exists only with model.regularizer.kind=drop_block",
        ),
        (
            {_KIND: _choice("shakedrop", "none"), _P_L: _choice(0.5)},
            f"model.regularizer.kind: 'none' {_NO_VALUE}: model.regularizer.p_l: exists only with "
            "model.regularizer.kind=shakedrop or random_drop; give model.regularizer.p_l a 'when'",
        ),
        (
            {"model.depth": {"kind": "integer", "low": 20, "high": 33}},
            f"model.depth: 33 {_NO_VALUE}: model: depth must be 6n+2 for whole n ≥ 1, such as 32 "
            "or 38 (got 33)",
        ),
        (
            {_LOW: _choice(0.5), _HIGH: _choice(0.25, 0.75)},
            f"model.regularizer.alpha.high: 0.25 {_NO_VALUE}: model.regularizer.alpha: low must "
            "not exceed high (got low 0.5, high 0.25)",
        ),
        (
            {_P_L: _choice(0.5, 0.6, 0.5)},
            "model.regularizer.p_l: values: 0.5 stands twice; remove one",
        ),
        (
            {_P_L: _uniform(0, 1)},
            "model.regularizer.p_l: a grid needs a number of values between low and high; "
            "give points",
        ),
    ],
)
def test_a_space_that_cannot_work(check: Check, space: dict[str, Any], message: str) -> None:
    assert check(space) == [f"sweep.space: {message}"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("name", "it names the run and is given to each trial"),
        ("storage.path", "it is where the sweep lives"),
        ("tracking.uri", "it is the same for all trials"),
        ("cluster.num_workers", "it is the same for all trials"),
        ("checkpoint.metric", "it follows sweep.metric"),
        ("checkpoint.mode", "it follows sweep.mode"),
        ("expected.value", "it changes nothing of a trial"),
    ],
)
def test_what_belongs_to_the_sweep_is_not_searched(check: Check, path: str, reason: str) -> None:
    assert check({path: _choice(1)}) == [f"sweep.space: {path}: must not be searched: {reason}"]


def test_an_interval_over_whole_numbers_is_refused_by_a_value_inside(check: Check) -> None:
    """Both ends are whole, and the schema takes them."""
    lines = check({"training.batch_size": _uniform(32, 512)}, **_RANDOM)

    assert lines == [
        "sweep.space: training.batch_size: 230.823 is not allowed; allowed: whole number, ≥ 1"
    ]


def test_independent_problems_are_told_together(check: Check) -> None:
    assert check({_P_L: _choice(1.5), "optimizer.lr": _choice(-1)}) == [
        "sweep.space: model.regularizer.p_l: 1.5 is not allowed; allowed: number, ≥ 0 and ≤ 1",
        "sweep.space: optimizer.lr: -1 is not allowed; allowed: number, > 0",
    ]


def test_a_problem_is_told_once_and_by_its_cause(check: Check) -> None:
    """No value of any field works while β's ends are the wrong way round."""
    space = {
        "optimizer.lr": _choice(0.1),
        "model.regularizer.beta.low": _uniform(-3, -2),
        "model.regularizer.beta.high": _uniform(-7, -5),
    }

    (line,) = check(space, **_RANDOM)

    cause = f"optimizer.lr: 0.1 {_NO_VALUE}: model.regularizer.beta: low must not exceed high"
    assert line.startswith(f"sweep.space: {cause} (got low ")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"trainin": {"seed": 1}}, "unknown option 'trainin': did you mean training?"),
        (
            {"model": {"regularizer": {"p_l": 7}}},
            "model.regularizer.p_l: 7 is not allowed; allowed: number, ≥ 0 and ≤ 1",
        ),
    ],
)
def test_a_mistake_of_the_recipe_is_told_as_one(
    make_sweep: MakeSweep, part: dict[str, Any], message: str
) -> None:
    sweep = make_sweep({"optimizer.lr": _choice(0.1), "training.seed": _choice(1, 2)})

    with pytest.raises(ConfigurationError) as caught:
        check_space(sweep, CIFARConfig, part)

    assert str(caught.value) == message


def test_the_space_of_another_pipeline_is_checked_by_its_own_schema(make_sweep: MakeSweep) -> None:
    sweep = make_sweep({"model.depth": _choice(101, 152)})

    check_space(sweep, ImageNetConfig, {})
    with pytest.raises(ConfigurationError, match=r"^sweep\.space: model\.depth: 101 "):
        check_space(sweep, CIFARConfig, {})
