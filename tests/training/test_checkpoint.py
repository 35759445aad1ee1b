"""Checkpoints come back bit for bit, and damaged ones are told apart."""

import json
import math
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from service.training.checkpoint import (
    CheckpointContent,
    newest_valid,
    read_checkpoint,
    write_checkpoint,
)
from service.training.manifest import DamagedCheckpoint, flushed, write_manifest
from service.training.staging import Staging

FILES = [
    "model.safetensors",
    "ema.safetensors",
    "state.pt",
    "config.yaml",
    "metrics.json",
    "metadata.json",
    "manifest.json",
]


def content() -> CheckpointContent:
    torch.manual_seed(0)
    kernel = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    shared = torch.randn(5)
    return CheckpointContent(
        model={
            "kernel": kernel,
            "half": torch.randn(7).bfloat16(),
            "count": torch.tensor(12345678901),
            "transposed": torch.randn(3, 4).t(),
            "empty": torch.zeros(0, 3),
            "mask": torch.tensor([True, False]),
            "tied": shared,
            "tied_too": shared,
            "part": torch.randn(100)[10:14],
            "extremes": torch.tensor([math.nan, -math.inf, -0.0, 1e-45]),
        },
        ema={"kernel": kernel + 1},
        state={
            "position": 2**40,
            "optimizer": {"state": {0: {"momentum": kernel * 2}}, "betas": (0.9, 0.99)},
            "half": torch.randn(3).bfloat16(),
            "none": None,
        },
        config_yaml="seed: 0\nname: Grüße\n",
        metrics={"val/top1": 76.25, "val/loss": math.nan},
        metadata={"classes": ["Schaf", "ネコ"], "mean": [0.5, 0.25]},
    )


def raw(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same_tensors(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert (tensor.dtype, tensor.shape) == (second[name].dtype, second[name].shape), name
        assert raw(tensor) == raw(second[name]), name


@pytest.mark.parametrize(("umask", "rights"), [(0o022, 0o644), (0o007, 0o660)])
def test_others_may_read_what_the_umask_lets_them(tmp_path: Path, umask: int, rights: int) -> None:
    """By itself safetensors writes files for their owner alone."""
    before = os.umask(umask)
    try:
        write_checkpoint(tmp_path / "c", content())
    finally:
        os.umask(before)
    found = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "c").iterdir()}
    assert found == dict.fromkeys(FILES, rights)


def test_everything_comes_back_bit_for_bit(tmp_path: Path) -> None:
    written = content()
    write_checkpoint(tmp_path / "deep" / "step_00000001", written)
    read = read_checkpoint(tmp_path / "deep" / "step_00000001")
    assert_same_tensors(read.model, written.model)
    assert written.ema is not None
    assert read.ema is not None
    assert_same_tensors(read.ema, written.ema)
    momentum = read.state["optimizer"]["state"][0]["momentum"]
    assert raw(momentum) == raw(written.state["optimizer"]["state"][0]["momentum"])
    assert momentum.is_contiguous(memory_format=torch.channels_last)
    assert raw(read.state["half"]) == raw(written.state["half"])
    assert read.state["position"] == 2**40
    assert read.state["optimizer"]["betas"] == (0.9, 0.99)
    assert read.config_yaml == written.config_yaml
    assert read.metrics["val/top1"] == 76.25
    assert math.isnan(read.metrics["val/loss"])
    assert read.metadata == written.metadata
    names = [path.name for path in (tmp_path / "deep").rglob("*")]
    assert sorted(names) == sorted(["step_00000001", *FILES])


def test_without_an_average_there_is_no_file_of_one(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", replace(content(), ema=None))
    assert read_checkpoint(tmp_path / "c").ema is None
    assert not (tmp_path / "c" / "ema.safetensors").exists()


def test_a_network_loads_what_it_saved(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network.to(memory_format=torch.channels_last)
    network(torch.randn(2, 3, 8, 8))
    write_checkpoint(tmp_path / "c", replace(content(), model=network.state_dict()))
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    other.load_state_dict(read_checkpoint(tmp_path / "c").model)
    assert_same_tensors(other.state_dict(), network.state_dict())


def test_a_checkpoint_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", content())
    write_checkpoint(tmp_path / "c", replace(content(), ema=None, config_yaml="second"))
    read = read_checkpoint(tmp_path / "c")
    assert (read.ema, read.config_yaml) == (None, "second")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [(truncate, "bytes"), (flip, "SHA-256"), (Path.unlink, "missing")],
    ids=["truncated", "flipped", "missing"],
)
def test_damage_is_named(tmp_path: Path, name: str, damage: object, complaint: str) -> None:
    folder = tmp_path / "step_00000003"
    write_checkpoint(folder, content())
    damage(folder / name)  # type: ignore[operator]
    with pytest.raises(DamagedCheckpoint) as caught:
        read_checkpoint(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "step_00000003" in message
    if name != "manifest.json":
        assert name in message
        assert complaint in message


def test_no_bit_of_the_manifest_can_flip_unnoticed(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", content())
    manifest = tmp_path / "c" / "manifest.json"
    whole = manifest.read_bytes()
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        manifest.write_bytes(data)
        with pytest.raises(DamagedCheckpoint):
            read_checkpoint(tmp_path / "c")
    manifest.write_bytes(whole)
    read_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 2, "files": {}}',
                                  '{"format": 1, "files": {"../x": {"size": 1, "sha256": ""}}}',
                                  '{"format": 1, "files": {"state.pt": {"size": 1}}}',
                                  '{"format": 1, "files": {}}'])  # fmt: skip
def test_a_manifest_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    write_checkpoint(tmp_path / "c", content())
    (tmp_path / "c" / "manifest.json").write_text(text)
    with pytest.raises(DamagedCheckpoint, match=r"manifest"):
        read_checkpoint(tmp_path / "c")


class Payload:
    """What a pickle could run."""


@pytest.mark.parametrize(
    "value", [Payload(), np.float32(1), Path("x")], ids=lambda v: type(v).__name__
)
def test_objects_are_neither_written_nor_read(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError, match="more than plain data"):
        write_checkpoint(tmp_path / "c", replace(content(), state={"value": value}))
    assert list(tmp_path.iterdir()) == []

    write_checkpoint(tmp_path / "c", content())
    torch.save({"value": value}, tmp_path / "c" / "state.pt")
    (tmp_path / "c" / "manifest.json").unlink()
    write_manifest(tmp_path / "c", {p.name: flushed(p) for p in (tmp_path / "c").iterdir()})
    with pytest.raises(DamagedCheckpoint, match=r"state\.pt: holds more than plain data"):
        read_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "metrics.json"])
def test_nonsense_with_a_matching_manifest_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "c"
    write_checkpoint(folder, content())
    (folder / name).write_bytes(b"\x01" * 64)
    (folder / "manifest.json").unlink()
    write_manifest(folder, {path.name: flushed(path) for path in folder.iterdir()})
    with pytest.raises(DamagedCheckpoint, match=name):
        read_checkpoint(folder)


def test_the_newest_whole_checkpoint_is_used_and_the_others_complained_about(
    tmp_path: Path,
) -> None:
    folders = [tmp_path / f"step_{step:08d}" for step in (4, 3, 2, 1)]
    for folder in folders[1:]:
        write_checkpoint(folder, replace(content(), config_yaml=folder.name))
    flip(folders[1] / "model.safetensors")
    found, complaints = newest_valid(folders)
    assert found is not None
    assert found.config_yaml == "step_00000002"
    assert len(complaints) == 2
    assert "step_00000004/manifest.json: missing" in complaints[0]
    assert "step_00000003/model.safetensors: its SHA-256" in complaints[1]
    shutil.rmtree(folders[3])
    truncate(folders[2] / "state.pt")
    found, complaints = newest_valid(folders)
    assert found is None
    assert len(complaints) == 4
    assert newest_valid([]) == (None, [])


def test_a_snapshot_shares_no_memory(tmp_path: Path) -> None:
    original = content()
    whole = content()
    copied = Staging().snapshot(original)
    for tensor in (*original.model.values(), original.state["half"]):
        tensor.zero_()
    original.state["optimizer"]["state"][0]["momentum"].zero_()
    original.metrics["val/top1"] = 0
    original.metadata["classes"].clear()
    assert_same_tensors(copied.model, whole.model)
    assert raw(copied.state["half"]) == raw(whole.state["half"])
    assert raw(copied.state["optimizer"]["state"][0]["momentum"]) == raw(
        whole.state["optimizer"]["state"][0]["momentum"]
    )
    assert copied.model["kernel"].is_contiguous(memory_format=torch.channels_last)
    assert copied.metrics["val/top1"] == 76.25
    assert copied.metadata == whole.metadata


def test_metrics_may_be_scalars_of_any_library(tmp_path: Path) -> None:
    metrics = {"a": np.float32(0.5), "b": torch.tensor(2.0), "c": 3}
    write_checkpoint(tmp_path / "c", replace(content(), metrics=metrics))  # type: ignore[arg-type]
    assert read_checkpoint(tmp_path / "c").metrics == {"a": 0.5, "b": 2, "c": 3}
    assert json.loads((tmp_path / "c" / "metrics.json").read_text())["a"] == 0.5
