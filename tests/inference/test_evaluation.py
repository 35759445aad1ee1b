"""Evaluation of a checkpoint gives what training measured, to the last digit."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_pictures import write_parquet

from service.config.coco import COCOConfig
from service.data.loading import evaluation_batches
from service.inference.evaluation_command import evaluate
from service.inference.evaluation_data import detection_evaluation_set, evaluation_set
from service.inference.machine import best_device
from service.inference.networks import Classifier
from service.inference.resolution import at_resolution
from service.inference.trained import open_trained
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
        assert found.keys() == {"top1", "top5", "loss", "calibration_error"}
        del found["calibration_error"]
        assert found == {name: expected[name] for name in found}


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
    assert content["in_training"].keys() == {"top1", "top5", "loss"}
    assert content["checkpoint"]["step"] == 8
    assert (content["flip"], content["resolution"]) == (False, None)


def test_tables_and_pictures_agree_with_the_figures(
    tmp_path: Path, classifiers: list[Path]
) -> None:
    found = figures(classifiers[-1], tmp_path / "figures.json")
    files = tmp_path / "figures-files"
    assert {file.name for file in files.iterdir()} == {
        *("classes.csv", "confusion.png", "figures.json", "reliability.png"),
    }
    with (files / "classes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows == json.loads((tmp_path / "figures.json").read_text())["classes"]
    pictures = [int(row["pictures"]) for row in rows]
    right = [float(row["top1"]) * count for row, count in zip(rows, pictures, strict=True)]
    assert sum(pictures) == 21
    assert sum(right) / 21 == pytest.approx(found["top1"], abs=0.01)


def test_mirror_images_are_seen_too(tmp_path: Path, classifiers: list[Path]) -> None:
    trained = open_trained(str(classifiers[-1]))
    classifier, pictures = Classifier(trained, best_device()), evaluation_set(trained)
    (batch,) = evaluation_batches(
        pictures,
        trained.config.data.model_copy(
            update={
                "evaluation": trained.config.data.evaluation.model_copy(update={"batch_size": 21})
            }
        ),
        rank=0,
        world_size=1,
        loading_processes=0,
    )
    views = batch.to(classifier.device).pictures
    both = [torch.softmax(classifier.logits(one).double(), 1) for one in (views, views.flip(3))]
    mean = (both[0] + both[1]).cpu() / 2
    right = mean[torch.arange(21), batch.labels]
    found = figures(classifiers[-1], tmp_path / "figures.json", "--flip")
    assert found["loss"] == pytest.approx(float(-right.log().mean()), rel=1e-5)
    top1 = 100 * (mean.argmax(1) == batch.labels).double().mean()
    assert found["top1"] == pytest.approx(float(top1))


def test_another_resolution(tmp_path: Path, classifiers: list[Path], detector: Path) -> None:
    larger = at_resolution(open_trained(str(classifiers[-1])), 23).config.data.evaluation
    # 18 → 16 in training.
    assert (larger.size, larger.resize) == (23, 25)
    found = at_resolution(open_trained(str(detector)), 48).config.data.evaluation
    assert (found.short_side, found.longest) == (48, 96)
    by_option = figures(classifiers[-1], tmp_path / "a.json", "--resolution", "23")
    sizes = ("data.evaluation.size=23", "data.evaluation.resize=25")
    assert by_option == figures(classifiers[-1], tmp_path / "b.json", *sizes)
    assert by_option != figures(classifiers[-1], tmp_path / "c.json")


def test_pictures_alone_are_enough(tmp_path: Path, classifiers: list[Path]) -> None:
    """Without training pictures the checkpoint tells the classes, of which some may be missing."""
    trained = open_trained(str(classifiers[-1]))
    own = Path(evaluation_set(trained).source)
    everything = figures(classifiers[-1], tmp_path / "all.json", "--no-log")
    shutil.copytree(own, tmp_path / "set" / "val")
    (tmp_path / "bare").symlink_to(own)
    for root in ("set", "bare"):
        options = (f"data.root={tmp_path / root}", "--no-log")
        assert figures(classifiers[-1], tmp_path / f"{root}.json", *options) == everything
    missing = trained.classes[0]
    shutil.rmtree(tmp_path / "set" / "val" / missing)
    figures(classifiers[-1], tmp_path / "fewer.json", f"data.root={tmp_path / 'set'}")
    rows = json.loads((tmp_path / "fewer.json").read_text())["classes"]
    assert {row["class"] for row in rows} == set(trained.classes) - {missing}


def test_a_detector_needs_no_training_pictures(tmp_path: Path, detector: Path) -> None:
    trained = open_trained(str(detector))
    assert isinstance(trained.config, COCOConfig)
    own = Path(detection_evaluation_set(trained, trained.config).source)
    annotations = own.parent / "annotations" / "instances_val2017.json"
    (tmp_path / "set" / "annotations").mkdir(parents=True)
    shutil.copy(annotations, tmp_path / "set" / "annotations")
    (tmp_path / "set" / own.name).symlink_to(own)
    found = figures(detector, tmp_path / "figures.json", f"data.root={tmp_path / 'set'}")
    assert found == figures(detector, tmp_path / "own.json")


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
        (["--name", "a/b"], "'a/b' is no name"),
        (
            ["--resolution", "4000"],
            "--resolution: 4000: data.evaluation.resize: 4500 is not allowed",
        ),
    ],
)
def test_wrong_options(
    capsys: pytest.CaptureFixture[str], classifiers: list[Path], options: list[str], message: str
) -> None:
    assert message in refusal(capsys, "--checkpoint", str(classifiers[-1]), *options)


@pytest.mark.parametrize(("options", "message"), [(["--flip"], "--flip: is for classifiers")])
def test_what_detectors_do_not_know(
    capsys: pytest.CaptureFixture[str], detector: Path, options: list[str], message: str
) -> None:
    assert message in refusal(capsys, "--checkpoint", str(detector), *options)


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
