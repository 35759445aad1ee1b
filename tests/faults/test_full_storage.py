"""A storage that takes no more: nothing half-written, the last good checkpoint named."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT, SMALL, command, environment, train_here

from service.training.checkpoint import read_checkpoint
from service.training.retention import checkpoint_folders

sys.path.insert(0, str(ROOT / "pipelines"))
from imagenet import PIPELINE

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(280)]

LIMIT = 2**20  # bytes of a file, less than the larger network's weights


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


def test_the_run_ends_in_one_line_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    network = ("name=run", "tracking.enabled=false", "model.width=16", "model.depth=18")
    assert train_here(PIPELINE, tmp_path, *SMALL, *network, "training.duration=1ep") == 0
    (first,) = checkpoint_folders(tmp_path / "run")
    assert (first / "model.safetensors").stat().st_size > LIMIT

    longer = (*network, "--resume", "training.duration=2ep")
    refused = subprocess.run(
        command(tmp_path, "--local", *longer),
        env=environment(),
        preexec_fn=_limited,  # no threads here
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode == 1, refused.stderr
    (error,) = refused.stderr.splitlines()
    assert error.startswith("error: ")
    assert "step_00000016: the checkpoint could not be written (File too large)" in error
    assert refused.stdout.count("trying again in") == 3
    assert f"the last checkpoint is {first}; continue with --resume name=run" in refused.stdout
    assert checkpoint_folders(tmp_path / "run") == [first]
    read_checkpoint(first)

    assert train_here(PIPELINE, tmp_path, *SMALL, *longer) == 0
    assert checkpoint_folders(tmp_path / "run")[0].name == "step_00000016"
