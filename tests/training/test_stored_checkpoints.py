"""Checkpoints in an object store: whole or not there, few on each machine, read where needed."""

from pathlib import Path
from uuid import uuid4

import pytest
import torch

from service.config.training import CheckpointConfig
from service.storage.object_store import ObjectStore
from service.storage.working_copy import working_copy
from service.training.checkpoint import CheckpointContent, newest_valid, read_stored
from service.training.manifest import DamagedCheckpoint
from service.training.retention import checkpoint_folder, checkpoint_folders, read_metrics
from service.training.run_checkpoints import RunCheckpoints
from service.training.stored_checkpoints import (
    at_hand,
    bring_checkpoint,
    bring_small_files,
    keep_only,
    withdraw_unfinished,
)

TOP1 = {1: 10.0, 2: 30.0, 3: 20.0, 4: 15.0}


@pytest.fixture
def address() -> str:
    return f"memory://{uuid4().hex}/runs"


@pytest.fixture
def store(address: str) -> ObjectStore:
    return ObjectStore(f"{address}/run")


@pytest.fixture
def writer(address: str, tmp_path: Path) -> Path:
    """The folder of the machine that wrote four checkpoints and kept the best and the last."""
    folder = working_copy(address, tmp_path / "writer") / "run"
    checkpoints = RunCheckpoints(folder, CheckpointConfig(keep=1), warn=print)
    for step in TOP1:
        checkpoints.write(step, content(step))
    checkpoints.wait()
    return folder


@pytest.fixture
def other(address: str, tmp_path: Path) -> Path:
    """The folder of another machine, empty."""
    return working_copy(address, tmp_path / "other") / "run"


def content(step: int) -> CheckpointContent:
    return CheckpointContent(
        model={"weight": torch.full((100,), float(step))},
        ema=None,
        state={"position": step},
        config_yaml="",
        metrics={"val/top1": TOP1.get(step, 0.0)},
        metadata={},
    )


def steps(store: ObjectStore) -> set[str]:
    return {name.partition("/")[0] for name in store.list()}


def test_retention_prunes_the_store_as_it_prunes_the_folder(
    writer: Path, store: ObjectStore
) -> None:
    kept = {folder.name for folder in checkpoint_folders(writer)}
    assert kept == steps(store) == {"step_00000002", "step_00000004"}
    for name in kept:
        files = {path.name: path.read_bytes() for path in (writer / name).iterdir()}
        assert {file: store.read(f"{name}/{file}") for file in files} == files


def test_another_machine_chooses_by_small_files_and_reads_the_one_it_needs(
    writer: Path, other: Path
) -> None:
    bring_small_files(other)
    newest, best = checkpoint_folders(other)
    assert read_metrics(best) == {"val/top1": 30.0}
    assert not (best / "model.safetensors").exists()
    with at_hand(best):
        assert (best / "model.safetensors").exists()
    assert not (best / "model.safetensors").exists()
    found = read_stored(newest)
    assert torch.equal(found.model["weight"], torch.full((100,), 4.0))
    assert not (best / "model.safetensors").exists()
    keep_only(newest)
    assert checkpoint_folders(other) == [newest]


def test_a_checkpoint_that_is_damaged_in_the_store_gives_way_to_the_one_before(
    writer: Path, other: Path, store: ObjectStore
) -> None:
    model = store.read("step_00000004/model.safetensors")
    store.write("step_00000004/model.safetensors", model[:-1] + b"?")
    bring_small_files(other)
    found, complaints = newest_valid(checkpoint_folders(other), read_stored)
    assert found is not None
    assert found.state["position"] == 2
    assert len(complaints) == 1
    assert "SHA-256" in complaints[0]


def test_a_damaged_copy_is_brought_anew(writer: Path) -> None:
    newest = checkpoint_folder(writer, 4)
    (newest / "model.safetensors").write_bytes(b"cut short")
    assert read_stored(newest).state["position"] == 4


def test_an_interrupted_upload_is_no_checkpoint_and_is_cleared_away(
    writer: Path, other: Path, store: ObjectStore
) -> None:
    store.write("step_00000009/model.safetensors", b"half")
    bring_small_files(other)
    assert [folder.name for folder in checkpoint_folders(other)] == [
        "step_00000004",
        "step_00000002",
    ]
    assert not bring_checkpoint(checkpoint_folder(other, 9))
    with pytest.raises(DamagedCheckpoint):
        read_stored(checkpoint_folder(other, 9))
    withdraw_unfinished(other)
    assert steps(store) == {"step_00000002", "step_00000004"}


def test_what_the_store_does_not_have_is_forgotten_and_what_differs_replaced(
    writer: Path, other: Path, store: ObjectStore
) -> None:
    bring_small_files(other)
    # The other machine went back to step 2 and came to another step 4.
    checkpoints = RunCheckpoints(other, CheckpointConfig(keep=2), warn=print)
    changed = content(4)
    changed.model["weight"] += 1
    checkpoints.write(4, changed)
    checkpoints.wait()
    (writer / "step_00000003").mkdir()
    bring_small_files(writer)
    assert not (writer / "step_00000003").exists()
    found = read_stored(checkpoint_folder(writer, 4))
    assert torch.equal(found.model["weight"], torch.full((100,), 5.0))


def test_a_name_out_of_a_manifest_leads_nowhere(
    writer: Path, other: Path, store: ObjectStore, tmp_path: Path
) -> None:
    manifest = store.read("step_00000004/manifest.json").replace(b'"state.pt"', b'"../state.pt"')
    store.write("step_00000004/manifest.json", manifest)
    store.write("state.pt", b"from elsewhere")
    bring_small_files(other)
    with pytest.raises(DamagedCheckpoint):
        read_stored(checkpoint_folder(other, 4))
    assert not list(tmp_path.rglob("other/**/run/state.pt"))
