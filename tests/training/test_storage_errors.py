"""A storage that is full is an OSError, whichever part of a checkpoint does not fit."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from service.training.checkpoint import CheckpointContent, write_checkpoint
from service.training.storage_errors import storage_errors

LARGE = torch.zeros(2**18)


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """Makes the kernel refuse larger files, in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "content",
    [
        CheckpointContent({"weight": LARGE}, None, {}, "", {}, {}),
        CheckpointContent({}, {"weight": LARGE}, {}, "", {}, {}),
        CheckpointContent({}, None, {"momentum": LARGE}, "", {}, {}),
        CheckpointContent({}, None, {}, "x" * 2**20, {}, {}),
    ],
    ids=["weights", "average", "state", "configuration"],
)
def test_nothing_is_left_of_what_did_not_fit(tmp_path: Path, content: CheckpointContent) -> None:
    with _files_of_at_most(2**19), pytest.raises(OSError, match="File too large"):
        write_checkpoint(tmp_path / "step_00000001", content)
    assert list(tmp_path.iterdir()) == []
    write_checkpoint(tmp_path / "step_00000001", content)


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), storage_errors():
        raise RuntimeError("shapes")
