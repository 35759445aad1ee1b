"""Evaluation of a checkpoint gives what training measured, to the last digit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_pictures import write_parquet

from service.inference.evaluation_command import evaluate
from service.training.checkpoint import read_checkpoint


def figures(checkpoint: Path, file: Path, *options: str) -> dict[str, float]:
    arguments = ["--checkpoint", str(checkpoint), "--output", str(file), *options]
    assert evaluate(arguments) == 0
    found: dict[str, float] = json.loads(file.read_text())["figures"]
    return found


def measured(checkpoint: Path, prefix: str) -> dict[str, float]:
    metrics = read_checkpoint(checkpoint).metrics.items()
    best = f"{prefix}best_"
    return {
        name.removeprefix(prefix): value
        for name, value in metrics
        if name.startswith(prefix) and not name.startswith(best)
    }


@pytest.mark.parametrize(("weights", "prefix"), [("model", "val/"), ("ema", "val/ema_")])
def test_a_classifier_at_each_moment(
    tmp_path: Path, classifiers: list[Path], weights: str, prefix: str
) -> None:
    assert len(classifiers) == 2
    for number, checkpoint in enumerate(classifiers):
        found = figures(checkpoint, tmp_path / f"{number}.json", "--weights", weights)
        expected = measured(checkpoint, prefix)
        assert found == {name: expected[name] for name in found}
        assert found.keys() == {"top1", "top5", "loss"}


def test_the_strength_of_the_moment_matters(tmp_path: Path, classifiers: list[Path]) -> None:
    """The test above would pass with any strength, were the loss blind to it."""
    middle = classifiers[0]
    own = figures(middle, tmp_path / "own.json")
    final = figures(middle, tmp_path / "final.json", "model.regularizer.ramp.over=0st")
    assert own["loss"] != final["loss"]


@pytest.mark.parametrize(("weights", "prefix"), [("model", "val/"), ("auto", "val/ema_")])
def test_a_detector(tmp_path: Path, detector: Path, weights: str, prefix: str) -> None:
    before = {file: file.stat().st_mtime_ns for file in detector.parent.rglob("*")}
    found = figures(detector, tmp_path / "figures.json", "--weights", weights)
    expected = measured(detector, prefix)
    assert found == {name: expected[name] for name in found}
    assert {"box_ap", "mask_ap50"} <= found.keys()
    files = tmp_path / "figures-files"
    kinds = {file.name for file in files.glob("detections_*.json")}
    assert kinds == {"detections_box.json", "detections_mask.json"}
    assert (files / "precision_recall.png").is_file()
    categories = json.loads((tmp_path / "figures.json").read_text())["categories"]
    assert {"category", "box_ap", "mask_ap"} == categories[0].keys()
    # The run is left as it was.
    assert before == {file: file.stat().st_mtime_ns for file in detector.parent.rglob("*")}


def test_small_pictures(tmp_path: Path, train_small: Callable[[Path, Path], Path]) -> None:
    write_parquet(tmp_path, "train", 32)
    write_parquet(tmp_path, "test", 21)
    checkpoint = train_small(tmp_path / "runs", tmp_path)
    found = figures(checkpoint, tmp_path / "figures.json")
    assert found["loss"] == measured(checkpoint, "val/ema_")["loss"]


def test_the_file_says_what_was_evaluated(tmp_path: Path, classifiers: list[Path]) -> None:
    file = tmp_path / "figures.json"
    figures(classifiers[-1], file, "data.evaluation.batch_size=4")
    content = json.loads(file.read_text())
    assert content["checkpoint"]["weights"] == "ema"
    assert content["overrides"] == ["data.evaluation.batch_size=4"]
    assert content["data"]["pictures"] == 21
    assert len(content["data"]["digest"]) == 32
    assert torch.__version__.startswith(content["versions"]["torch"])
    assert content["in_training"].keys() == content["figures"].keys()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert evaluate(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["training.precison=bf16"], "precison"),
        (["--frobnicate"], "--frobnicate; see --help"),
        (["data.classes=5"], "data: its 5 classes are not the 7"),
        (["model.width=8"], "weights are not of the network"),
        (["--output", "missing/figures.json"], "there is no folder missing"),
    ],
)
def test_wrong_options(
    capsys: pytest.CaptureFixture[str], classifiers: list[Path], options: list[str], message: str
) -> None:
    assert message in refusal(capsys, "--checkpoint", str(classifiers[-1]), *options)


def test_other_categories(capsys: pytest.CaptureFixture[str], detector: Path) -> None:
    line = refusal(capsys, "--checkpoint", str(detector), "data.classes=2")
    assert "data: its 2 categories are not the 3" in line


def test_what_is_there_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classifiers: list[Path]
) -> None:
    file = tmp_path / "thesis.json"
    file.write_text("[1]")
    options = ["--checkpoint", str(classifiers[-1]), "--output", str(file), "--overwrite"]
    assert "is there" in refusal(capsys, *options)
    assert file.read_text() == "[1]"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ema.safetensors", "SHA-256 differs"),
        ("config.yaml", "SHA-256 differs"),
        ("manifest.json", "holds no checkpoint"),
    ],
)
def test_damaged_checkpoints(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    classifiers: list[Path],
    name: str,
    message: str,
) -> None:
    copy = tmp_path / "step_00000001"
    shutil.copytree(classifiers[-1], copy)
    file = copy / name
    if name == "manifest.json":
        file.unlink()
    else:
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    line = refusal(capsys, "--checkpoint", str(copy))
    assert message in line
    assert line.startswith("error: --checkpoint: ")


def test_a_damaged_picture_ends_an_evaluation_unless_it_may_be_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classifiers: list[Path]
) -> None:
    # Another test may have drawn a set of fewer classes there.
    sets = (classifiers[-1].parents[1] / "datasets").glob("drawn-*")
    drawn = max(sets, key=lambda folder: len(list((folder / "train").iterdir())))
    shutil.copytree(drawn, tmp_path / "set")
    damaged = min((tmp_path / "set" / "val").glob("*/*.jpg"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    root = f"data.root={tmp_path / 'set'}"
    line = refusal(capsys, "--checkpoint", str(classifiers[-1]), root)
    assert line.startswith(f"error: data: {damaged} cannot be used: ")
    assert line.endswith("; set data.on_error=skip to leave such pictures out")
    skipping = (root, "data.on_error=skip", "data.max_skipped_fraction=0.05")
    found = figures(classifiers[-1], tmp_path / "figures.json", *skipping)
    assert found["skipped_pictures"] == 1
    assert json.loads((tmp_path / "figures.json").read_text())["data"]["pictures"] == 20
    (told,) = [line for line in capsys.readouterr().err.splitlines() if str(damaged) in line]
    assert told.endswith("; skipped")


def test_no_checkpoint_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no such folder" in refusal(capsys, "--checkpoint", str(tmp_path / "none"))
    where = f"storage.path={tmp_path}"
    assert "--checkpoint: runs:/abc" in refusal(capsys, "--checkpoint", "runs:/abc", where)
