"""Predictions are what evaluation saw, written whole, and whatever is wrong is named."""

import csv
import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from service.classification.checking import datasets_folder
from service.config.coco import COCOConfig
from service.config.imagenet import ImageNetConfig
from service.data.decoding import decode
from service.data.loading import evaluation_batches
from service.data.splits import open_splits
from service.detection.task import open_splits as open_detection_splits
from service.inference.evaluation import evaluate_trained
from service.inference.networks import Classifier
from service.inference.prediction_command import predict
from service.inference.trained import open_trained

Lines = list[dict[str, Any]]


def run(checkpoint: Path, output: Path, *arguments: str) -> Lines:
    options = ["--checkpoint", str(checkpoint), "--output", str(output)]
    assert predict([*options, *arguments]) == 0
    return [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]


def write_noise(folder: Path, names: list[str]) -> None:
    generator = np.random.default_rng(7)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (40, 56, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


def test_a_classifier_says_what_evaluation_saw(
    tmp_path: Path, storage: Path, classifiers: list[Path]
) -> None:
    trained = open_trained(str(classifiers[0]))
    assert isinstance(trained.config, ImageNetConfig)
    data = trained.config.data
    pictures = open_splits(data, datasets_folder(storage)).evaluation
    classifier = Classifier(trained, torch.device("cpu"))
    batches = evaluation_batches(pictures, data, rank=0, world_size=1, loading_processes=0)
    logits = torch.cat([classifier.logits(batch.pictures) for batch in batches])
    values, labels = torch.softmax(logits, 1).topk(5, dim=1)

    found = run(classifiers[0], tmp_path / "out", str(pictures.source))
    assert len(found) == len(pictures) == 21
    for place, line in enumerate(found):
        assert line["file"] == f"{pictures.source}/{pictures.name(place)}"
        named = [trained.classes[label] for label in labels[place].tolist()]
        assert [one["class"] for one in line["classes"]] == named
        assert [one["probability"] for one in line["classes"]] == values[place].tolist()


def test_a_detector_finds_what_evaluation_found(
    tmp_path: Path, storage: Path, detector: Path
) -> None:
    trained = open_trained(str(detector))
    assert isinstance(trained.config, COCOConfig)
    pictures = open_detection_splits(trained.config, storage).evaluation
    files = tmp_path / "evaluated"
    files.mkdir()
    evaluate_trained(trained, files, lambda text: None)
    ids = {pictures.name(place): entry.id for place, entry in enumerate(pictures.pictures)}

    out = tmp_path / "out"
    # Alone in its batch, and not with whichever had the same shape: the padding differs.
    lines = run(detector, out, pictures.source, "--batch-size", "1", "--no-pictures")
    assert not (out / "pictures").exists()
    images = json.loads((out / "images.json").read_text())["images"]
    there = {image["id"]: ids[Path(image["file_name"]).name] for image in images}
    assert len(lines) == len(there) == len(pictures)
    for kind, region in (("box", "bbox"), ("mask", "segmentation")):
        ours = by_picture(out / f"detections_{kind}.json", there)
        theirs = by_picture(files / f"detections_{kind}.json")
        assert ours.keys() == theirs.keys()
        for picture, expected in theirs.items():
            scores = [one["score"] for one in ours[picture]]
            assert scores == pytest.approx([one["score"] for one in expected], abs=1e-4)
            if kind == "box":
                boxes = [one[region] for one in ours[picture]]
                np.testing.assert_allclose(boxes, [one[region] for one in expected], atol=0.05)


def by_picture(file: Path, names: dict[int, int] | None = None) -> dict[int, Lines]:
    found: dict[int, Lines] = {}
    for one in json.loads(file.read_text()):
        picture = one["image_id"] if names is None else names[one["image_id"]]
        found.setdefault(picture, []).append(one)
    return found


def test_files_of_a_detector(
    tmp_path: Path, detector: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_noise(tmp_path / "in", ["b/one.png", "a.png"])
    (tmp_path / "in" / "aa.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    lines = run(detector, out, str(tmp_path / "in"), "--score", "0")
    captured = capsys.readouterr()
    assert "aa.jpg cannot be used" in captured.err
    assert captured.out.splitlines()[-1].startswith("2 of 3 pictures predicted; 1 could not")
    assert [line["image_id"] for line in lines] == [1, 3]
    assert {file.name for file in (out / "pictures").iterdir()} == {
        "000001_a.png",
        "000003_one.png",
    }
    assert decode((out / "pictures" / "000001_a.png").read_bytes()).shape[2] == 640
    for line in lines:
        for one in line["objects"]:
            left, top, right, bottom = one["box"]
            assert 0 <= left <= right <= 56
            assert 0 <= top <= bottom <= 40
            assert one["mask"]["size"] == [40, 56]
    with redirect_stdout(io.StringIO()):
        results = COCO(out / "images.json").loadRes(str(out / "detections_mask.json"))
    assert sorted(results.getImgIds()) == [1, 3]
    assert len(results.anns) == sum(len(line["objects"]) for line in lines) > 0


def test_pictures_are_upright(tmp_path: Path, detector: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (60, 40), "red").save(tmp_path / "turned.jpg", exif=exif)
    (line,) = run(detector, tmp_path / "out", str(tmp_path / "turned.jpg"))
    assert (line["width"], line["height"]) == (40, 60)


def test_a_table_and_a_list(tmp_path: Path, classifiers: list[Path]) -> None:
    write_noise(tmp_path, ["one.png", "two.png"])
    # The list's second line leads nowhere; a named file needs no ending.
    (tmp_path / "one.png").rename(tmp_path / "one")
    lines = [str(tmp_path / name) for name in ("one", "three.png", "two.png")]
    (tmp_path / "list.txt").write_text("\n".join([*lines, ""]))
    options = ["--list", str(tmp_path / "list.txt"), "--format", "csv"]
    where = ["--checkpoint", str(classifiers[-1]), "--output", str(tmp_path / "out")]
    assert predict([*where, *options]) == 0
    with (tmp_path / "out" / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == [lines[0], lines[2]]
    values = [float(rows[0][f"probability_{rank}"]) for rank in range(1, 6)]
    assert values == sorted(values, reverse=True)
    assert 5 / 7 <= sum(values) <= 1


def test_the_number_of_pictures_at_once_changes_nothing(
    tmp_path: Path, classifiers: list[Path]
) -> None:
    write_noise(tmp_path / "in", [f"{number}.png" for number in range(7)])
    one, three = (
        run(classifiers[-1], tmp_path / size, str(tmp_path / "in"), "--batch-size", size)
        for size in ("1", "3")
    )
    for alone, together in zip(one, three, strict=True):
        assert alone["file"] == together["file"]
        values = [entry["probability"] for entry in together["classes"]]
        # Single precision: another batch is another order of sums.
        assert [e["probability"] for e in alone["classes"]] == pytest.approx(values, rel=1e-4)


def test_nothing_readable(
    tmp_path: Path, classifiers: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    out = tmp_path / "out"
    where = ["--checkpoint", str(classifiers[-1]), "--output", str(out)]
    assert predict([*where, str(tmp_path / "a.png")]) == 1
    assert not out.exists()
    assert "nothing is written" in capsys.readouterr().out


def test_results_are_replaced_and_nothing_else(
    tmp_path: Path, detector: Path, classifiers: list[Path]
) -> None:
    write_noise(tmp_path / "in", ["a.png", "b.png"])
    # Results below the pictures are no pictures of the next call.
    out = tmp_path / "in" / "out"
    assert len(run(detector, out, str(tmp_path / "in"), "--score", "0")) == 2
    (out / "notes.txt").write_text("mine")
    assert len(run(classifiers[-1], out, str(tmp_path / "in"), "--overwrite")) == 2
    assert {file.name for file in out.iterdir()} == {"predictions.jsonl", "notes.txt"}


Folder = Callable[[Path], list[str]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{in}", "--output", "{in}"], "holds other files"),
        (["{in}", "--output", "{done}"], "add --overwrite"),
        (["{in}/a.png", "--output", "{in}/a.png"], "is no folder"),
        (["{in}/none", "--output", "{out}"], "no such file or folder"),
        (["{done}", "--output", "{out}"], "no pictures (.jpg"),
        (["--output", "{out}"], "no pictures are given"),
        (["--list", "{in}/none", "--output", "{out}"], "--list: "),
        (["{in}", "--output", "{out}", "--score", "0.5"], "--score: is for detectors"),
        (["{in}", "--output", "{out}", "--score", "7"], "not a number from 0 to 1"),
        (["{in}", "--output", "{out}", "--batch-size", "0"], "at least 1"),
        (["{in}", "--output", "{out}", "--weight", "ema"], "--weight"),
        (["{in}"], "--output"),
    ],
)
def test_wrong_calls_are_one_line(
    tmp_path: Path,
    classifiers: list[Path],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    write_noise(tmp_path / "in", ["a.png"])
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "predictions.jsonl").touch()
    places = {name: str(tmp_path / name) for name in ("in", "done", "out")}
    line = [option.format(**places) for option in options]
    assert predict(["--checkpoint", str(classifiers[-1]), *line]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1, errors
    assert message in errors[0]
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "in" / "a.png").is_file()


def test_a_table_of_objects(tmp_path: Path, detector: Path) -> None:
    write_noise(tmp_path / "in", ["a.png", "b.png"])
    lines = run(detector, tmp_path / "lines", str(tmp_path / "in"), "--no-pictures")
    where = ["--checkpoint", str(detector), "--output", str(tmp_path / "table")]
    assert predict([*where, "--format", "csv", "--no-pictures", str(tmp_path / "in")]) == 0
    with (tmp_path / "table" / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    objects = [(line["file"], one) for line in lines for one in line["objects"]]
    assert len(rows) == len(objects) > 0
    for row, (file, one) in zip(rows, objects, strict=True):
        assert (row["file"], row["category"]) == (file, one["category"])
        assert [float(row[side]) for side in ("left", "top", "right", "bottom")] == one["box"]
        assert float(row["score"]) == one["score"]
    assert (tmp_path / "table" / "detections_mask.json").is_file()


def test_a_classifier_writes_below_pictures_if_asked(
    tmp_path: Path, classifiers: list[Path]
) -> None:
    write_noise(tmp_path / "in", ["a.png", "b.png"])
    out = tmp_path / "out"
    run(classifiers[-1], out, str(tmp_path / "in"))
    assert not (out / "pictures").exists()
    (out / "pictures").mkdir()
    (out / "pictures" / "mine.png").write_text("mine")
    for _ in range(2):
        run(classifiers[-1], out, str(tmp_path / "in"), "--overwrite", "--pictures")
    names = {"000001_a.png", "000002_b.png", "mine.png"}
    assert {file.name for file in (out / "pictures").iterdir()} == names
    drawn = decode((out / "pictures" / "000001_a.png").read_bytes())
    # The picture, made 640 pixels wide, and a few lines below it.
    assert drawn.shape[2] == 640
    assert 40 <= drawn.shape[1] - round(640 * 40 / 56) <= 100
    run(classifiers[-1], out, str(tmp_path / "in"), "--overwrite")
    assert {file.name for file in (out / "pictures").iterdir()} == {"mine.png"}
