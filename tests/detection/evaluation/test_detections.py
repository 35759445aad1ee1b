"""From a detector's output to the stored picture's pixels."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_masks

from service.data.detection.coco import PictureEntry
from service.detection.evaluation.detections import picture_detections

ENTRY = PictureEntry(id=17, file="a.jpg", width=200, height=100)
CATEGORIES = [1, 18, 90]


def _found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


def test_boxes_are_scaled_and_clipped_and_labels_become_category_ids() -> None:
    found = _found([[10, 10, 50, 30], [-4, 20, 500, 60]], [0.25, 0.75], [1, 3])
    result = picture_detections(found, ENTRY, (50, 100), CATEGORIES)
    assert result.picture_id == 17
    assert result.scores.tolist() == [0.75, 0.25]
    assert result.categories.tolist() == [90, 1]
    assert result.boxes.tolist() == [[0, 40, 200, 100], [20, 20, 100, 60]]
    assert result.masks is None
    assert result.boxes.dtype == np.float64


def test_views_of_another_shape_are_scaled_by_side() -> None:
    found = _found([[10, 10, 50, 30]], [0.5], [2])
    result = picture_detections(found, ENTRY, (25, 100), CATEGORIES)
    assert result.boxes.tolist() == [[20, 40, 100, 100]]


def test_masks_are_of_the_stored_picture_and_go_with_their_boxes() -> None:
    found = _found([[0, 0, 10, 10], [50, 20, 90, 40]], [0.25, 0.75], [1, 1])
    found["masks"] = torch.ones(2, 1, 28, 28)
    found["masks"][0] = 0
    result = picture_detections(found, ENTRY, (50, 100), CATEGORIES)
    assert result.masks is not None
    assert [mask["size"] for mask in result.masks] == [[100, 200]] * 2
    # The box grows by the mask's border and is cut to whole pixels: 80 × 40 within one line.
    assert 80 * 40 <= coco_masks.area(result.masks[:1])[0] <= 82 * 42
    assert coco_masks.area(result.masks[1:])[0] == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_left_out(bad: float) -> None:
    found = _found([[0, 0, 9, 9], [0, 0, bad, 9], [0, 0, 8, 8]], [0.5, 0.5, bad], [1, 1, 1])
    result = picture_detections(found, ENTRY, (50, 100), CATEGORIES)
    assert result.boxes.tolist() == [[0, 0, 18, 18]]


def test_no_detections() -> None:
    found = _found([], [], [])
    found["masks"] = torch.zeros(0, 1, 28, 28)
    result = picture_detections(found, ENTRY, (50, 100), CATEGORIES)
    assert len(result) == 0
    assert result.masks == []
