"""Each file answers as the network does, by itself, and says how it is used."""

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from service.config.imagenet import ImageNetConfig
from service.data.augmentation import EvaluationView
from service.data.decoding import decode
from service.export.command import export
from service.export.comparison import TOLERANCE
from service.inference.networks import Classifier
from service.inference.trained import open_trained

NAMES = ["chêne", "épicéa", "hêtre", "if", "orme", "output 5"]
SIZES = (1, 2, 3, 8, 15)


def answers(folder: Path, views: Tensor) -> Tensor:
    """Returns the logits of a checkpoint as evaluation computes them."""
    return Classifier(open_trained(str(folder)), torch.device("cpu")).logits(views)


@pytest.fixture(scope="module")
def views(checkpoint: Path, pictures: Path) -> Tensor:
    config = open_trained(str(checkpoint)).config
    assert isinstance(config, ImageNetConfig)
    view = EvaluationView(config.data)
    return torch.stack([view(decode(file.read_bytes())) for file in sorted(pictures.iterdir())])


@pytest.fixture(scope="module")
def expected(checkpoint: Path, views: Tensor) -> Tensor:
    logits = answers(checkpoint, views)
    # Otherwise equal classes would say little.
    assert len(set(logits.argmax(1).tolist())) > 2
    return logits


def close(found: Tensor, expected: Tensor) -> bool:
    """Bound: a tenth of what the export itself allows; sums in another order differ by less."""
    limit = TOLERANCE / 10 * max(1.0, float(expected.abs().max()))
    return bool((found - expected).abs().max() <= limit)


@pytest.mark.parametrize("size", SIZES)
def test_onnx_runtime_gives_the_same_answers_in_batches_of_any_size(
    exported: Path, views: Tensor, expected: Tensor, size: int
) -> None:
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    found = torch.cat(
        [
            torch.from_numpy(session.run(None, {"pictures": batch.numpy()})[0])
            for batch in torch.split(views, size)
        ]
    )
    assert close(found, expected)
    assert found.argmax(1).tolist() == expected.argmax(1).tolist()


@pytest.mark.parametrize("size", SIZES)
def test_the_program_gives_the_same_answers_in_batches_of_any_size(
    exported: Path, views: Tensor, expected: Tensor, size: int
) -> None:
    program = torch.export.load(exported / "model.pt2").module()
    found = torch.cat([program(batch) for batch in torch.split(views, size)])
    assert close(found, expected)
    assert found.argmax(1).tolist() == expected.argmax(1).tolist()


def test_weights_are_a_checkpoint_of_the_same_strength(
    exported: Path, checkpoint: Path, views: Tensor, expected: Tensor
) -> None:
    again = open_trained(str(exported))
    assert torch.equal(answers(exported, views), expected)
    # The average was taken, and has the names and figures that weights have.
    assert again.weights == "model"
    assert again.metrics == {"train/epoch": 1.0, "time/x": 3.0, "val/top1": 20.0}
    assert again.classes == tuple(NAMES[:5])
    with safe_open(exported / "model.safetensors", "pt") as weights:
        assert set(weights.keys()) == set(open_trained(str(checkpoint)).state)
    # At the end of its run the network would answer otherwise.
    metadata = json.loads((exported / "metadata.json").read_text())
    assert metadata["position"] == 80


def test_the_weights_without_the_average(
    tmp_path: Path, checkpoint: Path, pictures: Path, views: Tensor
) -> None:
    arguments = ["--checkpoint", str(checkpoint), "--output", str(tmp_path / "out")]
    options = ["--format", "safetensors", "--weights", "model", str(pictures / "03.jpg")]
    assert export([*arguments, *options]) == 0
    names = {"config.yaml", "export.json", "manifest.json", "metadata.json", "metrics.json"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == names | {"model.safetensors"}
    own = Classifier(open_trained(str(checkpoint), weights="model"), torch.device("cpu"))
    assert torch.equal(answers(tmp_path / "out", views), own.logits(views))
    assert open_trained(str(tmp_path / "out")).metrics["val/top1"] == 10.0


def test_onnx_says_how_it_is_used(exported: Path, checkpoint: Path) -> None:
    model = onnx.load(exported / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    (given,), (answered,) = model.graph.input, model.graph.output
    shape = given.type.tensor_type.shape.dim
    assert (given.name, given.type.tensor_type.elem_type) == ("pictures", onnx.TensorProto.UINT8)
    assert [one.dim_param or one.dim_value for one in shape] == ["batch", 3, 32, 32]
    assert answered.name == "logits"
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["classes"]) == NAMES
    steps = json.loads(said["preprocessing"])
    assert (steps["resize"], steps["size"], steps["interpolation"]) == (36, 32, "bilinear")
    assert said["checkpoint_sha256"] == open_trained(str(checkpoint)).sha256
    # A float in [0, 1] is refused, not misunderstood.
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    with pytest.raises(Exception, match="Unexpected input data type"):
        session.run(None, {"pictures": np.zeros((1, 3, 32, 32), np.float32)})


def test_the_program_says_how_it_is_used(exported: Path) -> None:
    said = {"description.json": ""}
    torch.export.load(exported / "model.pt2", extra_files=said)
    assert json.loads(said["description.json"])["classes"] == NAMES


def test_the_record_tells_what_was_compared(exported: Path, checkpoint: Path) -> None:
    record = json.loads((exported / "export.json").read_text())
    assert record["checkpoint"]["sha256"] == open_trained(str(checkpoint)).sha256
    assert record["checkpoint"]["weights"] == "ema"
    assert record["pictures"] == "15 of 15 given pictures"
    assert {"torch", "onnx", "onnxruntime"} <= record["versions"].keys()
    assert record["files"]["model.onnx"]["opset"] >= 18
    for name in ("model.safetensors", "model.pt2", "model.onnx"):
        compared = record["files"][name]["compared"]
        assert compared["batches"] == [1, 3, 8, 3]
        assert compared["same_classes"] == compared["pictures"] == 15
        assert 0 <= compared["largest_difference"] <= compared["tolerance"] < 0.01
        assert record["files"][name]["bytes"] == (exported / name).stat().st_size


def test_nothing_is_pickled_and_nothing_names_a_path_of_this_machine(exported: Path) -> None:
    root = str(Path(__file__).parents[2]).encode()
    contents = {file.name: file.read_bytes() for file in exported.iterdir()}
    with zipfile.ZipFile(exported / "model.pt2") as archive:
        del contents["model.pt2"]
        contents |= {entry: archive.read(entry) for entry in archive.namelist()}
    for name, content in contents.items():
        assert root not in content, name
        # A pickle, or a zip of one as torch.save writes it.
        assert not content.startswith((b"\x80", b"PK")), name
        assert b'"use_pickle": true' not in content, name


def test_a_detector_is_weights_alone(tmp_path: Path, detector: Path, pictures: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--checkpoint", str(detector), "--output", str(out), str(pictures)]
    assert export(arguments) == 0
    record = json.loads((out / "export.json").read_text())
    assert record["files"]["model.safetensors"]["compared"]["pictures"] == 4
    assert record["files"]["model.safetensors"]["compared"]["objects"] > 0
    again, before = open_trained(str(out)), open_trained(str(detector))
    assert again.categories == before.categories
    assert all(torch.equal(again.state[key], value) for key, value in before.state.items())
