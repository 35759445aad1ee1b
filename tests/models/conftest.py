"""What the tests of networks share."""

from collections.abc import Callable

import pytest
import torch

from service.config.model import ResNetConfig


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1512)


@pytest.fixture
def small() -> Callable[..., ResNetConfig]:
    """A network small enough to train in a test, unless the fields say otherwise."""

    def config(**fields: object) -> ResNetConfig:
        return ResNetConfig.model_validate({"depth": 18, "width": 4, "stem": "small", **fields})

    return config
