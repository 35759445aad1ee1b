"""The command line: what it refuses, in one line, and what it leaves alone."""

import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.onnx import OnnxExporterError

from service.export.command import export
from service.inference.networks import Detector
from service.inference.trained import open_trained


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "{pictures}"], "holds other files"),
        (["--output", "{exported}"], "holds an export; give another folder, or add --overwrite"),
        (["--output", "{out}", "--format", "torchscript"], "invalid choice"),
        (["--output", "{out}", "--alias", "champion"], "add --register"),
        (["--output", "{out}", "--register", "a/b"], "--register: 'a/b': use 1 to 200 letters"),
        (["--output", "{out}", "--register", "a", "--alias", "v1"], "--alias: 'v1'"),
        (["--output", "{out}", "--weights", "best"], "invalid choice"),
        (["--output", "{out}", "{pictures}/none.jpg"], "no such file or folder"),
        (["--output", "{out}", "{text}"], "1 of 1 given pictures: none can be used"),
        ([], "--output"),
        (
            ["--output", "{out}", "--register", "a", "--uri", "http://127.0.0.1:9"],
            "--register: MLflow at http://127.0.0.1:9 cannot be used now",
        ),
    ],
)
def test_wrong_calls_are_one_line(
    tmp_path: Path,
    checkpoint: Path,
    pictures: Path,
    exported: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    places = {
        "pictures": pictures,
        "exported": exported,
        "out": tmp_path / "out",
        "text": tmp_path / "a.jpg",
    }
    before = {file: file.stat().st_mtime_ns for file in exported.iterdir()}
    line = [option.format(**places) for option in options]
    storage = ["--storage", str(tmp_path / "runs")]
    assert export(["--checkpoint", str(checkpoint), *storage, *line]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [one for one in errors if not one.startswith("warning: ")] == errors[-1:]
    assert message in errors[-1]
    assert not (tmp_path / "out").exists()
    assert {file: file.stat().st_mtime_ns for file in exported.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "onnx"], "--format: onnx is for classifiers: torch.export cannot follow"),
        (["--format", "safetensors", "--format", "pt2"], "--format: pt2 is for classifiers"),
        (["--register", "finder"], "--register: serves classifiers"),
    ],
)
def test_detectors_are_refused_with_the_reason(
    tmp_path: Path,
    detector: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    arguments = ["--checkpoint", str(detector), "--output", str(tmp_path / "out"), *options]
    assert export(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_reason_is_true(detector: Path) -> None:
    """Once this fails, detectors can be exported, and should be."""
    network = Detector(open_trained(str(detector)), torch.device("cpu")).network
    view = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(
            GuardOnDataDependentSymNode, match=r"torchvision/ops/boxes\.py.* in _?b"
        ):
            torch.export.export(network, ([view],))
        with pytest.raises(OnnxExporterError) as caught:
            torch.onnx.export(network, ([view],), dynamo=True, verbose=False)
        assert isinstance(caught.value.__cause__, GuardOnDataDependentSymNode)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_names_the_extra(
    tmp_path: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert export(["--checkpoint", str(checkpoint), "--output", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"onnx needs the package {package}" in line
    assert line.endswith("pip install 'service[export]'")


def test_an_export_is_replaced_and_nothing_else(
    tmp_path: Path, checkpoint: Path, pictures: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["--checkpoint", str(checkpoint), "--output", str(out), "--format", "safetensors"]
    assert export([*arguments, str(pictures)]) == 0
    (out / "notes.txt").write_text("mine")
    (out / "model.onnx").write_text("of an earlier export")
    assert export([*arguments, "--overwrite", "--weights", "model", str(pictures)]) == 0
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "model.onnx").exists()
    assert not [file for file in out.iterdir() if file.name.startswith(".")]


def test_damaged_pictures_are_named_and_left_out(
    tmp_path: Path, checkpoint: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes((pictures / "00.jpg").read_bytes()[:300])
    arguments = ["--checkpoint", str(checkpoint), "--output", str(tmp_path / "out")]
    files = [str(tmp_path / "a.jpg"), str(pictures / "01.jpg")]
    assert export([*arguments, "--format", "safetensors", *files]) == 0
    said = capsys.readouterr()
    assert f"warning: {tmp_path / 'a.jpg'} cannot be used" in said.err
    # One picture is repeated, so that there are batches of all sizes.
    assert "13 pictures in batches of 1, 3, 8, 1" in said.out


def test_without_pictures_those_of_the_run_or_drawn_ones(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--checkpoint", str(checkpoint), "--format", "safetensors"]
    arguments += ["--storage", str(tmp_path / "runs")]
    assert export([*arguments, "--output", str(tmp_path / "a")]) == 0
    assert "32 pictures" in capsys.readouterr().out
    # What was drawn to be looked at once is not left behind.
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_help_begins_with_a_sentence_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        export(["--help"])
    assert left.value.code == 0
    sentence, _, example, *_ = capsys.readouterr().out.splitlines()
    assert sentence.startswith("Writes a trained network for other programs")
    assert example.startswith("  python pipelines/export.py --checkpoint")
