"""What the tests of regularisers share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

Coefficients = Callable[..., tuple[Tensor, Tensor]]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1802)


@pytest.fixture
def coefficients() -> Coefficients:
    """The forward and backward coefficients of one training pass over a branch of ones."""

    def draw(
        unit: nn.Module, *shape: int, dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor]:
        branch = torch.ones(*shape, dtype=dtype, requires_grad=True)
        output = unit(branch)
        output.backward(torch.ones_like(output))
        assert branch.grad is not None
        return output.detach(), branch.grad

    return draw
