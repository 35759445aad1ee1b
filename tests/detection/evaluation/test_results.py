"""Detections as files that pycocotools reads."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.benchmark.peers import figures_of, pycocotools_evaluation, quiet_truth
from service.detection.evaluation.average_precision import evaluate_detections
from service.detection.evaluation.detections import PictureDetections
from service.detection.evaluation.results import Kind, coco_results, write_results

Scenes = tuple[dict[str, Any], list[PictureDetections]]


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_pycocotools_finds_our_figures_in_the_file(
    scenes: Scenes, kind: Kind, tmp_path: Path
) -> None:
    truth, found = scenes
    file = tmp_path / "detections.json"
    write_results(found, kind, file)
    evaluation = pycocotools_evaluation(quiet_truth(truth), json.loads(file.read_text()), kind)
    report = evaluate_detections(truth, found, kinds=[kind])
    assert figures_of(evaluation, kind) == report.figures


def test_load_res_reads_the_file_itself(scenes: Scenes, tmp_path: Path) -> None:
    truth, found = scenes
    write_results(found, "mask", tmp_path / "masks.json")
    with contextlib.redirect_stdout(io.StringIO()):
        read = quiet_truth(truth).loadRes(str(tmp_path / "masks.json"))
    assert len(read.anns) == sum(map(len, found))


def test_entries_are_as_coco_describes_them() -> None:
    one = PictureDetections(
        7,
        np.array([[1.5, 2.0, 4.0, 8.0]]),
        np.array([0.5]),
        np.array([18]),
        [{"size": [9, 9], "counts": b"f0"}],
    )
    common = {"image_id": 7, "category_id": 18, "score": 0.5}
    assert coco_results([one], "box") == [common | {"bbox": [1.5, 2.0, 2.5, 6.0]}]
    segmentation = {"size": [9, 9], "counts": "f0"}
    assert coco_results([one], "mask") == [common | {"segmentation": segmentation}]
    # What is given stays as it was.
    assert one.boxes.tolist() == [[1.5, 2.0, 4.0, 8.0]]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "detections.json"
    fine = PictureDetections(1, np.zeros((1, 4)), np.array([0.5]), np.array([1]))
    write_results([fine], "box", file)
    before = file.read_text()
    broken = PictureDetections(1, np.zeros((1, 4)), np.array([np.nan]), np.array([1]))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results([fine, broken], "box", file)
    assert file.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["detections.json"]


def test_detections_without_masks_are_not_masks() -> None:
    one = PictureDetections(4, np.zeros((1, 4)), np.array([0.5]), np.array([1]))
    with pytest.raises(ValueError, match="picture 4 have no masks"):
        coco_results([one], "mask")
