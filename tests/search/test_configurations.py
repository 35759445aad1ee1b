"""From a point to the configuration of a trial."""

from typing import Any

import pytest

from service.config.cifar import CIFARConfig
from service.config.errors import ConfigurationError
from service.config.model import CIFARResNetConfig, ShakeResNetConfig
from service.config.regularizer import (
    AlphaRange,
    DropBlockConfig,
    RampConfig,
    ShakeDropConfig,
    ShakeShakeConfig,
)
from service.search.configurations import Configurations, nested, value_of
from service.search.trials import Point


def test_a_point_is_nested_with_the_fields_of_a_section_side_by_side() -> None:
    point: Point = {"model.regularizer.kind": "drop_block", "optimizer.lr": 0.2}
    point |= {"model.regularizer.drop_prob": 0.05, "name": None}

    assert nested(point) == {
        "model": {"regularizer": {"kind": "drop_block", "drop_prob": 0.05}},
        "optimizer": {"lr": 0.2},
        "name": None,
    }


def test_the_recipe_stays_but_for_the_point(configurations: Configurations) -> None:
    config = configurations.configure({"model.regularizer.p_l": 0.8, "training.seed": 3})

    assert config.model == CIFARResNetConfig(
        depth=20,
        regularizer=ShakeDropConfig(p_l=0.8, alpha=AlphaRange(low=-1, high=1)),
    )
    assert config.training.seed == 3
    assert value_of(config, "data") == CIFARConfig().data


def test_open_ends_of_alpha_are_filled_in_as_the_network_builds_them(
    configurations: Configurations,
) -> None:
    config = configurations.configure({"model.order": "post_activation"})

    assert value_of(config, "model.regularizer.alpha.high") == 0.0


@pytest.mark.parametrize("reverse", [False, True])
def test_a_kind_and_its_fields_change_together(
    configurations: Configurations, reverse: bool
) -> None:
    point: Point = {"model.kind": "shake_resnet", "model.width": 96}
    point |= {"model.regularizer.kind": "shake_shake", "model.regularizer.level": "batch"}
    ordered = dict(sorted(point.items(), reverse=reverse))

    model = configurations.configure(ordered).model

    assert model == ShakeResNetConfig(width=96, regularizer=ShakeShakeConfig(level="batch"))


def test_what_a_recipe_leaves_out_has_its_default() -> None:
    model: dict[str, Any] = {"regularizer": {"kind": "drop_block", "block_size": 3}}
    configurations = Configurations(CIFARConfig, {"model": model})

    regularizer = configurations.configure({"model.regularizer.drop_prob": 0.2}).model.regularizer

    assert regularizer == DropBlockConfig(block_size=3, drop_prob=0.2)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (
            {"model.regularizer.p_l": 1.5},
            "model.regularizer.p_l: 1.5 is not allowed; allowed: number, ≥ 0 and ≤ 1",
        ),
        (
            {"model.regularizer.kind": "shake_shake"},
            "model.regularizer.kind: shake_shake mixes two residual branches and "
            "cifar_preresnet20 has one; choose model.kind=shake_resnet, or cifar_resnext with "
            "branches=2",
        ),
        (
            {"model.order": "post_activation", "model.regularizer.alpha.low": 0.5},
            "model.regularizer.alpha: low 0.5 exceeds high 0 once the order post_activation has "
            "filled in the end left open; give both low and high",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(
    configurations: Configurations, point: Point, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configurations.configure(point)

    assert str(caught.value) == message
    assert configurations.problems(point) == [message]


@pytest.mark.parametrize(
    ("point", "path", "value"),
    [
        ({}, "model.depth", 20),
        ({}, "training.duration", "90ep"),
        ({}, "model.regularizer.alpha.low", None),
        ({"model.depth": 32}, "model.depth", 32),
        # Fields of another kind have that kind's defaults.
        ({"model.regularizer.kind": "drop_block"}, "model.regularizer.block_size", 7),
        ({"model.regularizer.kind": "drop_block"}, "model.regularizer.ramp.over", "0run"),
        ({"model.kind": "shake_resnet"}, "model.width", 32),
        ({"optimizer.kind": "adamw"}, "optimizer.lr", 1e-3),
    ],
)
def test_the_value_of_a_field_at_a_point(
    configurations: Configurations, point: Point, path: str, value: object
) -> None:
    assert configurations.value(point, path) == value


@pytest.mark.parametrize(
    "path", ["model.regularizer.drop_prob", "model.dept", "model.depth.x", "nothing"]
)
def test_a_field_that_is_not_there_has_no_value(configurations: Configurations, path: str) -> None:
    with pytest.raises(KeyError):
        configurations.value({}, path)
    assert value_of(configurations.configure({}), path) is None


def test_the_value_of_a_field_of_a_built_configuration(configurations: Configurations) -> None:
    config = configurations.configure({})

    assert value_of(config, "model.regularizer.alpha.low") == -1.0
    assert value_of(config, "model.regularizer.ramp") == RampConfig()
