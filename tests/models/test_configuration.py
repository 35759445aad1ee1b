"""What the configuration takes and refuses of each family."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml, validate
from service.config.model import ModelConfig, PyramidNetConfig, ResNetConfig
from service.config.regularizer import PlainSumConfig
from service.models import build_network, resolved

Tiny = Callable[..., ModelConfig]


def refused(*overrides: str) -> str:
    """The one line that refuses a configuration."""
    with pytest.raises(ConfigurationError) as error:
        resolved(load(ImageNetConfig, [], overrides).model)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("kind", "block", "depth", "message"),
    [
        ("cifar_resnet", "basic", 21, "6n+2 for whole n ≥ 1, such as 20 or 26 (got 21)"),
        ("cifar_resnet", "bottleneck", 111, "9n+2 for whole n ≥ 1, such as 110 or 119"),
        ("cifar_resnet", "basic", 2, "6n+2 for whole n ≥ 1, such as 8 or 14 (got 2)"),
        ("cifar_resnet", "basic", -4, "6n+2 for whole n ≥ 1, such as 8 or 14 (got -4)"),
        ("cifar_pyramidnet", "basic", 109, "6n+2 for whole n ≥ 1, such as 104 or 110 (got 109)"),
        ("cifar_pyramidnet", "bottleneck", 270, "9n+2 for whole n ≥ 1, such as 263 or 272"),
        ("cifar_wide_resnet", None, 26, "6n+4 for whole n ≥ 1, such as 22 or 28 (got 26)"),
        ("cifar_resnext", None, 26, "9n+2 for whole n ≥ 1, such as 20 or 29 (got 26)"),
        ("shake_resnet", None, 28, "6n+2 for whole n ≥ 1, such as 26 or 32 (got 28)"),
    ],
)
def test_a_depth_of_the_wrong_form_is_named_with_its_neighbours(
    kind: str, block: str | None, depth: int, message: str
) -> None:
    blocks = [f"model.block={block}"] if block else []
    found = refused(f"model.kind={kind}", *blocks, f"model.depth={depth}")
    assert found.startswith(f"model: depth must be {message}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.depth=35"], "model.depth: 35 is not allowed; allowed: 18 or 34 or 50 or 101"),
        (["model.kind=pyramidnet", "model.depth=110"], "model.depth: 110 is not allowed; allowed:"),
        (["model.kind=pyramidnet", "model.alpha=0"], "model.alpha: 0 is not allowed; allowed:"),
        (
            ["model.depth=18", "model.cardinality=32", "model.group_width=4"],
            "model: cardinality and group_width describe bottlenecks; choose a depth of 50 or more",
        ),
        (
            ["model.cardinality=32"],
            "model: cardinality needs group_width, the channels of each group: 4 in ResNeXt 32x4d",
        ),
        (["model.kind=cifar_resnext", "model.branches=3"], "model.branches: 3 is not allowed"),
        (["model.alpha=48"], "model.alpha: exists only with model.kind=pyramidnet or "),
        (
            ["model.kind=cifar_resnext", "model.regularizer.kind=shake_shake"],
            "model.regularizer.kind: shake_shake mixes two residual branches and cifar_resnext29",
        ),
        (
            [
                "model={kind: cifar_wide_resnet, zero_init_last_gamma: true}",
                "model.regularizer.kind=none",
            ],
            "model.zero_init_last_gamma: a pre-activation branch without ShakeDrop ends with a con",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(overrides: list[str], message: str) -> None:
    assert refused(*overrides).startswith(message)


def test_a_family_takes_what_all_share_in_either_order() -> None:
    shared = ["model.classes=7", "model.regularizer.kind=none", "model.weights=start.pth"]
    first = load(ImageNetConfig, [], ["model.kind=pyramidnet", *shared])
    second = load(ImageNetConfig, [], [*shared, "model.depth=18", "model.kind=pyramidnet"])
    assert first.model == second.model
    assert first.model == PyramidNetConfig(
        classes=7, regularizer=PlainSumConfig(), weights="start.pth"
    )


def test_a_written_configuration_is_read_back(family: str, tiny: Tiny) -> None:
    config = ImageNetConfig(model=resolved(tiny(family)))
    tree = config.model_dump(mode="json")
    assert validate(ImageNetConfig, tree) == config
    assert f"kind: {config.model.kind}" in to_yaml(config)


def test_the_default_is_a_resnet() -> None:
    assert ImageNetConfig().model == ResNetConfig()


def test_a_wrong_depth_is_refused_without_a_file(tiny: Tiny) -> None:
    with pytest.raises(ValidationError, match=r"depth must be 6n\+2"):
        tiny("shake_resnet").model_validate({"depth": 9})


def test_zero_init_begins_every_block_as_its_shortcut(family: str, tiny: Tiny) -> None:
    network = build_network(tiny(family, zero_init_last_gamma=True), classes=2)
    for block in network.blocks:
        assert len(block.last_norms) == len(block.branch_names)
        assert all(not norm.weight.any() for norm in block.last_norms)
    weights = [value for key, value in network.named_parameters() if key.endswith("weight")]
    zeros = [weight for weight in weights if not weight.any()]
    assert len(zeros) == sum(len(block.last_norms) for block in network.blocks)
