"""Writing in the background: errors are not lost, and a killed writer leaves nothing half done."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import service
from service.training.checkpoint import (
    CheckpointContent,
    newest_valid,
    read_checkpoint,
    write_checkpoint,
)
from service.training.checkpoint_writer import CheckpointWriter
from service.training.retention import checkpoint_folders
from service.training.staging import Staging


def content(model: nn.Module) -> CheckpointContent:
    return CheckpointContent(
        model=model.state_dict(),
        ema=None,
        state={"position": 1},
        config_yaml="",
        metrics={},
        metadata={},
    )


def test_what_is_written_is_the_moment_of_the_snapshot(tmp_path: Path) -> None:
    model = nn.Linear(600, 1000)
    before = model.weight.detach().clone()
    with CheckpointWriter() as writer:
        for step in range(3):
            writer.write(tmp_path / f"step_{step:08d}", Staging().snapshot(content(model)))
            with torch.no_grad():
                model.weight.add_(1)
    for step in range(3):
        read = read_checkpoint(tmp_path / f"step_{step:08d}")
        assert torch.equal(read.model["weight"], before)
        before += 1


def test_the_folder_is_there_after_waiting(tmp_path: Path) -> None:
    with CheckpointWriter() as writer:
        writer.write(tmp_path / "c", Staging().snapshot(content(nn.Linear(2, 2))))
        writer.wait()
        assert (tmp_path / "c" / "manifest.json").exists()


def test_an_error_is_raised_by_the_next_call_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    good = Staging().snapshot(content(nn.Linear(2, 2)))
    with CheckpointWriter(patience=()) as writer:
        writer.write(tmp_path / "file" / "c", good)
        with pytest.raises(NotADirectoryError):
            writer.write(tmp_path / "first", good)
        writer.write(tmp_path / "second", good)
        writer.write(tmp_path / "third", replace(good, state={"path": tmp_path}))
        with pytest.raises(TypeError, match="more than plain data"):
            writer.wait()
        writer.wait()
    assert [path.name for path in checkpoint_folders(tmp_path)] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "second"]


def test_leaving_the_context_raises_what_nobody_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotADirectoryError), CheckpointWriter(patience=()) as writer:
        writer.write(tmp_path / "file" / "c", Staging().snapshot(content(nn.Linear(2, 2))))


def test_a_failed_write_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    good = Staging().snapshot(content(nn.Linear(2, 2)))
    write_checkpoint(tmp_path / "c", good)
    with pytest.raises(TypeError):
        write_checkpoint(tmp_path / "c", replace(good, state={"path": tmp_path}))
    assert read_checkpoint(tmp_path / "c").state == {"position": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


ENDLESS_WRITER = """
import itertools, sys, torch
from pathlib import Path
from service.training.checkpoint import CheckpointContent, write_checkpoint
for step in itertools.count(1):
    model = {"weight": torch.full((4_000_000,), float(step))}
    content = CheckpointContent(model, None, {"position": step}, "", {}, {})
    write_checkpoint(Path(sys.argv[1]) / f"step_{step:08d}", content)
"""


def wait_for_half_written(folder: Path, process: subprocess.Popen[bytes]) -> Path:
    """Stops the process while one checkpoint is whole and the next is being written."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None
        if checkpoint_folders(folder):
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            for hidden in folder.glob(".step_*.unfinished"):
                if (hidden / "model.safetensors").exists():
                    return hidden
            process.send_signal(signal.SIGCONT)
        time.sleep(0.002)
    raise AssertionError("the writer never got that far")


@pytest.mark.faults
def test_a_writer_killed_half_way_leaves_the_last_whole_checkpoint(tmp_path: Path) -> None:
    root = Path(service.__file__).parents[1]
    process = subprocess.Popen([sys.executable, "-c", ENDLESS_WRITER, str(tmp_path)], cwd=root)
    try:
        hidden = wait_for_half_written(tmp_path, process)
    finally:
        process.kill()
        process.wait()
    assert hidden.exists()
    folders = checkpoint_folders(tmp_path)
    assert hidden not in folders
    found, complaints = newest_valid(folders)
    assert complaints == []
    assert found is not None
    last = found.state["position"]
    assert folders[0].name == f"step_{last:08d}"
    assert torch.equal(found.model["weight"], torch.full((4_000_000,), float(last)))
    # A restarted writer comes to the same step again and is not in the way of what was left.
    write_checkpoint(tmp_path / hidden.name[1:].removesuffix(".unfinished"), found)
    assert not hidden.exists()
