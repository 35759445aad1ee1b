"""Leaves torch as each test found it."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _undisturbed_torch() -> Iterator[None]:
    """The loop may switch on deterministic algorithms for the whole process."""
    yield
    torch.use_deterministic_algorithms(False)
