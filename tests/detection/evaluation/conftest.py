"""Ground truth and detections that COCO's rules have much to say about."""

from typing import Any

import pytest
from pycocotools import mask as coco_masks

from service.benchmark.scenes import jittered_detections, made_up_truth
from service.detection.evaluation.detections import PictureDetections

Scenes = tuple[dict[str, Any], list[PictureDetections]]


@pytest.fixture(scope="session")
def scenes() -> Scenes:
    """60 pictures with crowds, empty pictures, and categories without objects."""
    truth = made_up_truth(60, seed=3)
    crowds = [one for one in truth["annotations"] if one["iscrowd"]]
    assert len(crowds) > 1
    # Both forms that files have: numbers, and text.
    runs = coco_masks.frPyObjects(crowds[0]["segmentation"], 480, 640)
    crowds[0]["segmentation"] = {**runs, "counts": runs["counts"].decode()}
    present = {one["category_id"] for one in truth["annotations"]}
    assert len({one["image_id"] for one in truth["annotations"]}) < 60
    assert len(present) < len(truth["categories"])
    found = jittered_detections(truth, 12, seed=4, masks=True)
    assert any(len(one) == 0 for one in found)
    return truth, found
