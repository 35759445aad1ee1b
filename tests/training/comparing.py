"""Comparing runs bit for bit."""

from typing import Any

import torch
from toy import Recorder

from service.training.checkpoint import CheckpointContent


def assert_same(one: Any, other: Any, path: str = "") -> None:  # noqa: ANN401  # trees
    """Compares trees of tensors and plain values bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple):
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{path}.{index}")
    else:
        assert one == other, path


def assert_same_checkpoint(one: CheckpointContent, other: CheckpointContent) -> None:
    """Compares all but the time it took."""
    timed = [
        {k: v for k, v in c.metrics.items() if not k.startswith("time/")} for c in (one, other)
    ]
    assert timed[0] == timed[1]
    for name in ("model", "ema", "state", "config_yaml", "metadata"):
        assert_same(getattr(one, name), getattr(other, name), name)


def assert_same_metrics(one: Recorder, other: Recorder, first: int) -> None:
    """Compares what two runs logged from a step on, but the time it took."""
    for step in range(first, max(other.metrics) + 1):
        for name, value in other.metrics.get(step, {}).items():
            if not name.startswith("time/"):
                assert one.metrics[step][name] == value, (step, name)
