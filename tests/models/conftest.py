"""What the tests of networks share."""

from collections.abc import Callable

import pytest
import torch
from pydantic import TypeAdapter

from service.config.model import ModelConfig, ResNetConfig

# A network of every family and order, small enough to train in a test.
TINY: dict[str, dict[str, object]] = {
    "resnet": {"depth": 18, "width": 4, "stem": "small", "order": "post_activation"},
    "resnet_erase_relu": {"depth": 18, "width": 4, "stem": "small"},
    "preresnet": {"depth": 18, "width": 4, "stem": "small", "order": "pre_activation"},
    "resnext": {"depth": 50, "width": 4, "stem": "small", "cardinality": 2, "group_width": 2},
    "pyramidnet": {"kind": "pyramidnet", "depth": 18, "alpha": 8},
    "cifar_resnet": {"kind": "cifar_resnet", "depth": 8, "width": 4, "order": "post_activation"},
    "cifar_erase_relu": {"kind": "cifar_resnet", "depth": 8, "width": 4, "order": "erase_relu"},
    "cifar_preresnet": {"kind": "cifar_resnet", "depth": 8, "width": 4},
    "cifar_bottleneck": {"kind": "cifar_resnet", "depth": 11, "width": 4, "block": "bottleneck"},
    "wide_resnet": {"kind": "cifar_wide_resnet", "depth": 10, "widening_factor": 1},
    "cifar_resnext": {
        "kind": "cifar_resnext",
        "depth": 11,
        "width": 4,
        "cardinality": 2,
        "group_width": 2,
    },
    "two_branches": {
        "kind": "cifar_resnext",
        "depth": 11,
        "width": 4,
        "cardinality": 2,
        "group_width": 2,
        "branches": 2,
    },
    "cifar_pyramidnet": {"kind": "cifar_pyramidnet", "depth": 8, "alpha": 7},
    "pyramid_bottleneck": {
        "kind": "cifar_pyramidnet",
        "depth": 11,
        "alpha": 7,
        "block": "bottleneck",
    },
    "shake_resnet": {"kind": "shake_resnet", "depth": 8, "width": 4},
}


def model_config(**fields: object) -> ModelConfig:
    """A configuration of any family."""
    found: ModelConfig = TypeAdapter(ModelConfig).validate_python({"kind": "resnet", **fields})
    return found


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1512)


@pytest.fixture
def small() -> Callable[..., ResNetConfig]:
    """A network small enough to train in a test, unless the fields say otherwise."""

    def config(**fields: object) -> ResNetConfig:
        return ResNetConfig.model_validate({"depth": 18, "width": 4, "stem": "small", **fields})

    return config


@pytest.fixture(params=TINY)
def family(request: pytest.FixtureRequest) -> str:
    """The name of each family and order in turn, see `tiny`."""
    return str(request.param)


@pytest.fixture
def tiny() -> Callable[..., ModelConfig]:
    """A tiny network of a named family, with fields of its own on top."""

    def config(name: str, **fields: object) -> ModelConfig:
        return model_config(**TINY[name], **fields)

    return config


@pytest.fixture
def describe_model() -> Callable[..., ModelConfig]:
    """A network of any family, by its fields."""
    return model_config
