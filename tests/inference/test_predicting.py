"""The stream of predictions does not depend on who reads the files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from service.data.packing import PackedStrings
from service.data.progress import Progress
from service.inference.classes import ClassPrediction, ClassPredictor
from service.inference.networks import Classifier
from service.inference.predicting import predictions
from service.inference.trained import open_trained


def predicted(checkpoint: Path, files: PackedStrings, processes: int) -> list[ClassPrediction]:
    trained = open_trained(str(checkpoint), [f"data.loading_processes={processes}"])
    predictor = ClassPredictor(Classifier(trained, torch.device("cpu")), files, draw=False)
    return list(predictions(files, predictor, 2, Progress(len(files))))


def test_loading_processes(
    tmp_path: Path, classifiers: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(3)
    for number in range(5):
        pixels = generator.integers(0, 256, (30, 20 + number, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    # A batch of which one file is damaged, and one of which none can be read.
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    (tmp_path / "4.png").unlink()
    files = PackedStrings.pack(str(tmp_path / f"{number}.png") for number in range(5))
    here = predicted(classifiers[-1], files, 0)
    there = predicted(classifiers[-1], files, 2)
    assert [Path(one.file).name for one in here] == ["0.png", "2.png", "3.png"]
    assert here == there
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"skipped: {tmp_path}/1.png cannot be used: ")
    assert lines[1] == f"skipped: {tmp_path}/4.png cannot be used: No such file or directory"
