"""Ground truth and detections beside each other."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from service.benchmark.scenes import jittered_detections, made_up_truth
from service.detection.drawings import LONGEST, annotated, side_by_side
from service.detection.evaluation.detections import PictureDetections

NAMES = {3: "Käse", 7: "cup"}
RUNS = {"size": [60, 80], "counts": [80 * 60 // 2, 60 * 20, 60 * 20]}  # columns 40 to 59


def _pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def _found(*scores: float) -> PictureDetections:
    boxes = np.array([[10.0, 10.0, 30.0, 50.0]] * len(scores)).reshape(-1, 4)
    return PictureDetections(1, boxes, np.array(scores), np.full(len(scores), 7))


def _object(**fields: object) -> dict:
    return {"bbox": [40.0, 0.0, 20.0, 60.0], "category_id": 3, "iscrowd": 0, **fields}


@pytest.fixture
def grey() -> torch.Tensor:
    return torch.full((3, 60, 80), 90, dtype=torch.uint8)


def test_small_pictures_are_enlarged_and_stand_beside_each_other(grey: torch.Tensor) -> None:
    sheet = _pixels(side_by_side(grey, [], _found(), NAMES))
    height = LONGEST * 60 // 80
    assert sheet.shape[1] > 2 * LONGEST
    assert height < sheet.shape[0] < height + 40
    # Nothing but the grey picture twice, below the headings.
    assert (sheet[-height:, :LONGEST] == 90).all()
    assert (sheet[-height:, -LONGEST:] == 90).all()


def test_large_pictures_are_made_smaller() -> None:
    large = torch.zeros(3, 1500, 3000, dtype=torch.uint8)
    assert _pixels(annotated(large, _found(), NAMES)).shape == (LONGEST // 2, LONGEST, 3)


def test_objects_are_left_and_detections_right(grey: torch.Tensor) -> None:
    sheet = _pixels(side_by_side(grey, [_object()], _found(0.9), NAMES))[-480:]
    scale = LONGEST // 80
    left, right = sheet[:, :LONGEST], sheet[:, -LONGEST:]
    assert (left[:, : 40 * scale - 2] == 90).all()
    assert (left[300, 40 * scale] != 90).any()
    assert (right[:, 62 * scale :] == 90).all()
    assert (right[300, 10 * scale] != 90).any()


def test_masks_are_translucent_and_where_they_belong(grey: torch.Tensor) -> None:
    sheet = _pixels(side_by_side(grey, [_object(segmentation=RUNS)], _found(), NAMES))[-480:]
    scale = LONGEST // 80
    inside, outside = sheet[400, 50 * scale], sheet[400, 30 * scale]
    assert (outside == 90).all()
    colour = sheet[400, 40 * scale]  # of the box's line
    # Between picture and colour, so that the picture stays visible.
    assert (np.minimum(colour, 90) <= inside).all()
    assert (inside <= np.maximum(colour, 90)).all()
    assert not (inside == 90).all()
    assert not (inside == colour).all()


def test_overlapping_masks_are_not_black(grey: torch.Tensor) -> None:
    twice = [_object(segmentation=RUNS), _object(segmentation=RUNS, category_id=7)]
    sheet = _pixels(side_by_side(grey, twice, _found(), NAMES))[-480:]
    assert sheet[400, 50 * LONGEST // 80].sum() > 3 * 90


def test_weak_detections_are_not_drawn(grey: torch.Tensor) -> None:
    assert (_pixels(annotated(grey, _found(0.49), NAMES)) == 90).all()
    assert not (_pixels(annotated(grey, _found(0.5), NAMES)) == 90).all()
    assert not (_pixels(annotated(grey, _found(0.3), NAMES, score=0.2)) == 90).all()


def test_crowds_outlines_and_degenerate_boxes_can_be_drawn() -> None:
    truth = made_up_truth(12, seed=8)
    names = {one["id"]: one["name"] for one in truth["categories"]}
    found = jittered_detections(truth, 5, seed=9, masks=True)
    picture = torch.zeros(3, 480, 640, dtype=torch.uint8)
    for one in found:
        own = [a for a in truth["annotations"] if a["image_id"] == one.picture_id]
        flat = dict(own[0], bbox=[640.0, 480.0, 0.0, 0.0]) if own else None
        sheet = side_by_side(picture, [*own, flat] if flat else own, one, names)
        assert _pixels(sheet)[-480:].any() or not own
