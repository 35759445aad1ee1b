"""Preparing pictures: what is written, what is refused, and what a killed call leaves."""

import fcntl
import hashlib
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from service.config.data import FolderDataConfig
from service.config.errors import ConfigurationError
from service.data.decoding import decode
from service.data.pictures import PictureSet, digest
from service.data.preparing.command import prepare
from service.data.splits import Splits, open_splits

PROGRAM = Path(__file__).parents[2] / "pipelines/prepare.py"
TURNED = 6  # EXIF: a quarter turn clockwise shows it upright


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def jpeg(height: int, width: int, seed: int = 0, exif: Image.Exif | None = None) -> bytes:
    """A smooth picture, so that compression changes little of it."""
    corners = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)
    picture = Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, exif=exif or Image.Exif())
    return buffer.getvalue()


def source(root: Path, pictures: int = 120) -> Path:
    """Makes a set of two classes: large pictures, a turned one, a small one, a PNG."""
    exif = Image.Exif()
    exif[0x0112] = TURNED
    for number in range(pictures):
        write(
            root / f"train/{'cat' if number < 70 else 'dog'}/{number:03d}.jpg",
            jpeg(90, 120, number),
        )
    write(root / "train/cat/turned.jpg", jpeg(90, 120, 1000, exif))
    write(root / "train/dog/small.JPEG", jpeg(60, 200, 1001))
    buffer = io.BytesIO()
    Image.new("RGB", (80, 100), (200, 20, 90)).save(buffer, "PNG")
    write(root / "train/dog/transparent.png", buffer.getvalue())
    write(root / "val/dog/v.jpg", jpeg(128, 256, 1002))
    return root


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def run(root: Path, output: Path, *options: str) -> int:
    return prepare([str(root), str(output), "--short-side", "64", "--processes", "1", *options])


def opened(root: Path, cache: Path) -> Splits:
    """Opens a set as training does where only its root is given."""
    return open_splits(FolderDataConfig(root=str(root)), cache)


def contents(output: Path) -> dict[str, bytes]:
    """Returns all files but the index, which holds the shards' times."""
    files = (path for path in output.rglob("*") if path.is_file() and path.name != "index.npz")
    return {str(path.relative_to(output)): path.read_bytes() for path in files}


def sides(pictures: PictureSet) -> list[tuple[int, int]]:
    found = (decode(pictures.read(index)).shape[1:] for index in range(len(pictures)))
    return [(int(height), int(width)) for height, width in found]


def test_a_prepared_set_trains_in_place_of_its_source(tmp_path: Path) -> None:
    root = source(tmp_path / "set")
    assert run(root, tmp_path / "out", "--quality", "95") == 0
    before, after = opened(root, tmp_path / "c1"), opened(tmp_path / "out", tmp_path / "c2")
    assert after.train.classes == before.train.classes == after.evaluation.classes
    for one, other in ((before.train, after.train), (before.evaluation, after.evaluation)):
        assert one.labels.tolist() == other.labels.tolist()
    names = [before.train.name(index) for index in range(len(before.train))]
    small, turned = names.index("dog/small.JPEG"), names.index("cat/turned.jpg")
    assert after.train.read(small) == before.train.read(small)
    found = sides(after.train)
    assert found[turned] == (85, 64)
    assert found[small] == (60, 200)
    assert found[names.index("dog/transparent.png")] == (80, 64)
    others = {size for place, size in enumerate(found) if names[place][4:7].isdigit()}
    assert others == {(64, 85)}
    for index in (0, turned, 100):
        shown = decode(before.train.read(index)).float()
        smaller = torch.nn.functional.interpolate(
            shown[None], found[index], mode="bicubic", antialias=True
        )
        # JPEG's own loss, on pictures without edges.
        assert (smaller[0] - decode(after.train.read(index)).float()).abs().mean() < 3


def test_the_manifest_tells_what_is_there(tmp_path: Path) -> None:
    root, output = source(tmp_path / "set"), tmp_path / "out"
    assert run(root, output) == 0
    manifest = json.loads((output / "manifest.json").read_bytes())
    splits = opened(output, tmp_path / "cache")
    train = manifest["splits"]["train"]
    assert (manifest["short_side"], manifest["quality"]) == (64, 90)
    assert (train["pictures"], train["rewritten"]) == (123, 122)
    assert train["digest"] == digest(splits.train)
    assert train["source_digest"] == digest(opened(root, tmp_path / "cache").train)
    for shard in train["shards"]:
        content = (output / shard["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == shard["sha256"]
    assert "longer than 64 pixels" in (output / "README.md").read_text()
    hidden = [path.name for path in output.rglob(".*")]
    assert hidden == []


def test_several_processes_write_the_same_bytes(tmp_path: Path) -> None:
    root = source(tmp_path / "set")
    assert run(root, tmp_path / "one") == 0
    assert run(root, tmp_path / "two", "--processes", "2") == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_killed_call_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = source(tmp_path / "set", pictures=400)
    command = [sys.executable, str(PROGRAM), str(root), str(tmp_path / "out")]
    process = subprocess.Popen([*command, "--short-side", "64", "--processes", "1"])
    notes = tmp_path / "out/.preparing"
    while not any(notes.glob("train-*.json")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with pytest.raises(ConfigurationError, match="is an unfinished preparation"):
        opened(tmp_path / "out", tmp_path)
    noted = [
        tmp_path / "out/train" / f"{note.stem[-6:]}.tar" for note in notes.glob("train-*.json")
    ]
    done = {path: path.stat().st_mtime_ns for path in noted}
    assert 0 < len(done) < 9
    write(tmp_path / "out/train/.1-left-000009.tar", b"half a shard")
    assert run(root, tmp_path / "out") == 0
    assert "are there already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert run(root, tmp_path / "straight") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_a_complete_set_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, output = source(tmp_path / "set", 3), tmp_path / "out"
    assert run(root, output) == 0
    before = contents(output)
    assert run(root, output) == 0
    assert "is complete already" in capsys.readouterr().out
    assert contents(output) == before


def damaged(root: Path) -> Path:
    source(root, pictures=60)
    path = root / "train/cat/007.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    return root


def test_a_damaged_picture_ends_the_call_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = damaged(tmp_path / "set")
    assert run(root, tmp_path / "out") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {root}/train/cat/007.jpg cannot be used: ")
    assert not list(tmp_path.glob("out/train/*.tar"))


def test_damaged_pictures_are_skipped_within_a_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = damaged(tmp_path / "set")
    skip = ("--on-error", "skip")
    assert run(root, tmp_path / "few", *skip, "--max-skipped-fraction", "0.01") == 1
    assert "1 of 64 pictures cannot be used, more than" in capsys.readouterr().err
    assert run(root, tmp_path / "out", *skip, "--max-skipped-fraction", "0.02") == 0
    captured = capsys.readouterr()
    assert "007.jpg cannot be used" in captured.err
    assert "1 skipped" in captured.out
    before, after = opened(root, tmp_path / "c1"), opened(tmp_path / "out", tmp_path / "c2")
    assert after.train.labels.tolist() == np.delete(before.train.labels, 7).tolist()
    manifest = json.loads((tmp_path / "out/manifest.json").read_bytes())
    assert len(manifest["splits"]["train"]["skipped"]) == 1


def test_shards_can_be_prepared_again(tmp_path: Path) -> None:
    root = source(tmp_path / "set", 3)
    assert run(root, tmp_path / "once") == 0
    assert run(tmp_path / "once", tmp_path / "twice", "--short-side", "32") == 0
    found = sides(opened(tmp_path / "twice", tmp_path).train)
    assert {min(size) for size in found} == {32}


def test_what_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, output = source(tmp_path / "set", 3), tmp_path / "out"
    write(tmp_path / "full/x", b"")
    (tmp_path / "begun/.preparing").mkdir(parents=True)
    plan = {"short side": 64, "quality": 80}
    write(tmp_path / "begun/.preparing/plan.json", json.dumps(plan).encode())
    for arguments, message in (
        ([str(root)], "the following arguments are required: output"),
        ([str(root), str(output), "--quality", "101"], "101 is more than 100"),
        ([str(root), str(output), "--short-side", "0"], "is not a whole number of at least 1"),
        ([str(tmp_path / "absent"), str(output)], "data.root: cannot list"),
        ([str(root), str(tmp_path / "full")], "is no unfinished preparation"),
        ([str(root), str(tmp_path / "begun"), "--short-side", "64"], "begun with quality 80, not"),
    ):
        assert prepare(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert message in line
    assert not output.exists()


def test_two_calls_do_not_write_one_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, output = source(tmp_path / "set", 3), tmp_path / "out"
    (output / ".preparing").mkdir(parents=True)
    with (output / ".preparing/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run(root, output) == 2
    assert "is being written by another process" in capsys.readouterr().err
    assert run(root, output) == 0
