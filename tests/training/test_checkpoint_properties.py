"""Whatever happens to the files of a checkpoint: it is whole, or told to be damaged."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.training.checkpoint import (
    CheckpointContent,
    newest_valid,
    read_checkpoint,
    write_checkpoint,
)
from service.training.manifest import DamagedCheckpoint, flushed, write_manifest

properties = settings(deadline=None, database=None, derandomize=True)
FILES = (
    "config.yaml",
    "ema.safetensors",
    "manifest.json",
    "metadata.json",
    "metrics.json",
    "model.safetensors",
    "state.pt",
)


def written(folder: Path, name: str) -> Path:
    content = CheckpointContent(
        model={"weight": torch.arange(12.0).view(3, 4)},
        ema={"weight": torch.ones(3, 4)},
        state={"position": 8, "optimizer": {"state": {0: torch.zeros(3)}}},
        config_yaml=f"name: {name}\n",
        metrics={"val/top1": 50.0},
        metadata={"classes": ["a"]},
    )
    write_checkpoint(folder, content)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two checkpoints; the newer one is damaged and mended by each example."""
    run = tmp_path_factory.mktemp("run")
    written(run / "older", "older")
    written(run / "whole", "newer")
    return run


def damaged(run: Path, damage: Callable[[Path], object]) -> Path:
    """Returns a copy of the newer checkpoint after some damage."""
    shutil.rmtree(run / "newer", ignore_errors=True)
    shutil.copytree(run / "whole", run / "newer")
    damage(run / "newer")
    return run / "newer"


def assert_the_one_before_is_used(run: Path, newer: Path) -> None:
    """One line that names the folder, and no other exception."""
    with pytest.raises(DamagedCheckpoint) as caught:
        read_checkpoint(newer)
    assert str(newer) in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(newer)) + 300
    found, complaints = newest_valid([newer, run / "older"])
    assert found is not None
    assert found.config_yaml == "name: older\n"
    assert complaints == [str(caught.value)]


@settings(properties, max_examples=120)
@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_no_changed_byte_is_accepted(run: Path, name: str, place: float, change: int) -> None:
    def flip(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[int(place * len(data))] ^= change
        (folder / name).write_bytes(data)

    newer = damaged(run, flip)
    whole = json.loads((run / "whole/manifest.json").read_bytes())
    try:
        same = json.loads((newer / "manifest.json").read_bytes()) == whole
    except ValueError:
        same = False
    if name == "manifest.json" and same:
        # A blank that became another blank.
        assert read_checkpoint(newer).config_yaml == "name: newer\n"
    else:
        assert_the_one_before_is_used(run, newer)


@settings(properties, max_examples=60)
@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.binary(max_size=8))
def test_no_cut_or_longer_file_is_accepted(run: Path, name: str, kept: float, more: bytes) -> None:
    def resize(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data + b"x" + more if more else data[: int(kept * len(data))])

    assert_the_one_before_is_used(run, damaged(run, resize))


@properties
@given(st.sets(st.sampled_from(FILES), min_size=1), st.booleans())
def test_no_missing_file_is_passed_over(run: Path, names: set[str], folders: bool) -> None:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()
            if folders:
                (folder / name).mkdir()

    assert_the_one_before_is_used(run, damaged(run, remove))


@settings(properties, max_examples=40)
@given(st.from_regex(r"\A[\w.\-]{1,20}\Z"), st.binary(max_size=20))
def test_a_file_that_was_added_changes_nothing(run: Path, name: str, data: bytes) -> None:
    """Clusters put files of their own beside ours; only what the manifest lists is read."""
    newer = damaged(run, lambda folder: (folder / f"{name}.added").write_bytes(data))
    assert read_checkpoint(newer).config_yaml == "name: newer\n"


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["format", "files", "size", "sha256", *FILES]), st.text(max_size=3)
            ),
            parts,
            max_size=3,
        ),
    ),
    max_leaves=8,
)
manifests = st.one_of(
    values,
    values.map(lambda files: {"format": 1, "files": files}),
    st.dictionaries(
        st.one_of(st.sampled_from(FILES), st.text(max_size=4)),
        st.fixed_dictionaries({"size": values, "sha256": values}),
        max_size=4,
    ).map(lambda files: {"format": 1, "files": files}),
)


@settings(properties, max_examples=200)
@given(manifests)
def test_no_other_manifest_is_accepted(run: Path, manifest: Any) -> None:  # noqa: ANN401  # any JSON
    text = json.dumps(manifest)
    newer = damaged(run, lambda folder: (folder / "manifest.json").write_text(text))
    assert_the_one_before_is_used(run, newer)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"format": 1, "files": ' * 5000,
        b"9" * 5000,
        b"\xff\xfe",
        b'{"format": 1, "files": {"\\u0000\\n": {"size": 1, "sha256": ""}}}',
        b'{"format": 1, "files": {"' + b"x" * 10**6 + b'": {"size": 1, "sha256": ""}}}',
        b'{"format": 1, "files": {"config.yaml": {"size": "a\\nb", "sha256": ""}}}',
    ],
)
def test_a_hostile_manifest_is_refused(run: Path, text: bytes) -> None:
    newer = damaged(run, lambda folder: (folder / "manifest.json").write_bytes(text))
    assert_the_one_before_is_used(run, newer)


def relisted(folder: Path) -> None:
    """Makes the manifest fit what is there, as whoever can write the files can."""
    (folder / "manifest.json").unlink()
    write_manifest(folder, {path.name: flushed(path) for path in folder.iterdir()})


@settings(properties, max_examples=100)
@given(
    st.sampled_from([name for name in FILES if name not in ("manifest.json", "config.yaml")]),
    st.one_of(
        st.binary(max_size=64),
        values.map(lambda value: json.dumps(value).encode()),
        st.just(b"[" * 5000),
    ),
)
def test_nonsense_with_a_manifest_of_its_own_is_refused(run: Path, name: str, data: bytes) -> None:
    def replace(folder: Path) -> None:
        (folder / name).write_bytes(data)
        relisted(folder)

    newer = damaged(run, replace)
    try:
        is_object = name.endswith(".json") and isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        is_object = False
    if is_object:
        assert read_checkpoint(newer).config_yaml == "name: newer\n"
    else:
        assert_the_one_before_is_used(run, newer)


def test_a_configuration_that_is_no_text_is_refused(run: Path) -> None:
    def replace(folder: Path) -> None:
        (folder / "config.yaml").write_bytes(b"\xff\xfe\x00")
        relisted(folder)

    assert_the_one_before_is_used(run, damaged(run, replace))


class Executable:
    """Reading its pickle would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
def test_a_state_that_would_run_code_is_refused_and_not_run(
    run: Path, tmp_path: Path, new_format: bool
) -> None:
    trap = tmp_path / "trap"

    def replace(folder: Path) -> None:
        torch.save(
            {"position": 0, "value": Executable(trap)},
            folder / "state.pt",
            _use_new_zipfile_serialization=new_format,
        )
        relisted(folder)

    assert_the_one_before_is_used(run, damaged(run, replace))
    assert not trap.exists()
