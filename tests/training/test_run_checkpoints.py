"""A run's checkpoints: patience with the storage, and what is kept."""

from pathlib import Path

import pytest
import torch
from torch import nn

from service.config.training import CheckpointConfig
from service.training.checkpoint import CheckpointContent, read_checkpoint
from service.training.checkpoint_writer import CheckpointWriter
from service.training.retention import checkpoint_folders
from service.training.run_checkpoints import RunCheckpoints, StorageError
from service.training.staging import Staging

NETWORK = nn.Linear(2, 2)


def content(top1: float = 0.0) -> CheckpointContent:
    model = NETWORK.state_dict()
    return Staging().snapshot(
        CheckpointContent(model, None, {"position": 1}, "", {"val/top1": top1}, {})
    )


def test_a_storage_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    blocked = tmp_path / "run"
    blocked.write_text("in the way")
    warnings: list[str] = []

    def repair(text: str) -> None:
        warnings.append(text)
        if len(warnings) == 2:
            blocked.unlink()

    with CheckpointWriter(repair, patience=(0.01, 0.02, 10)) as writer:
        writer.write(blocked / "step_00000001", content())
    found = read_checkpoint(blocked / "step_00000001")
    assert torch.equal(found.model["weight"], NETWORK.weight)
    assert [text.rpartition("; ")[2] for text in warnings] == [
        "trying again in 0.01 s",
        "trying again in 0.02 s",
    ]
    assert all("Not a directory" in text for text in warnings)


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    folder, aside = tmp_path / "run", tmp_path / "aside"
    checkpoints = RunCheckpoints(folder, CheckpointConfig(), lambda _: None, patience=())
    checkpoints.write(1, content())
    checkpoints.wait()
    folder.rename(aside)
    folder.write_text("in the way")
    checkpoints.write(2, content())
    with pytest.raises(
        StorageError, match=r"step_00000002: the checkpoint could not be .*--resume"
    ):
        checkpoints.wait()
    folder.unlink()
    aside.rename(folder)
    checkpoints.wait()
    assert [path.name for path in checkpoint_folders(folder)] == ["step_00000001"]


def test_the_checkpoint_written_last_is_kept_whatever_its_step(tmp_path: Path) -> None:
    checkpoints = RunCheckpoints(tmp_path, CheckpointConfig(keep=1), lambda _: None)
    for step, top1 in ((10, 1.0), (20, 3.0), (30, 2.0), (15, 0.0)):
        checkpoints.write(step, content(top1))
        checkpoints.wait()
    # The best, the one with most steps, and the last of a run that went on from another's.
    names = [path.name for path in checkpoint_folders(tmp_path)]
    assert names == ["step_00000030", "step_00000020", "step_00000015"]
