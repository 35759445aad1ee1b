"""Real photographs and annotations beside the checkout."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from service.config.detection_data import COCODataConfig
from service.data.decoding import decode
from service.data.detection.segmentations import masks_of
from service.data.detection.splits import DetectionSplits, open_detection_splits

ROOT = Path(__file__).parents[4] / "shared/data/coco-mini"

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.skipif(not ROOT.is_dir(), reason="the shared pictures are not here"),
]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> DetectionSplits:
    cache = tmp_path_factory.mktemp("cache")
    return open_detection_splits(COCODataConfig(root=str(ROOT)), cache, masks=True)


def test_everything_is_read(splits: DetectionSplits) -> None:
    assert (len(splits.train), len(splits.evaluation)) == (80, 79)
    assert len(splits.train.categories) == 80
    assert splits.train.findings == splits.evaluation.findings == ()
    both = (splits.train.stored, splits.evaluation.stored)
    assert sum(len(stored) for stored in both) == 1363
    assert sum(stored.crowds.sum() for stored in both) == 13
    # More pictures lie in the folder than the file lists.
    assert len(list((ROOT / "val2017").iterdir())) >= 79


def test_ground_truth_is_that_of_the_files(splits: DetectionSplits) -> None:
    for pictures in (splits.train, splits.evaluation):
        content = json.loads(pictures.annotation_file.read_text())
        truth = {row["id"]: row for row in pictures.ground_truth()["annotations"]}
        for row in content["annotations"]:
            own = truth[row["id"]]
            if row["iscrowd"]:
                own = own | {"segmentation": row["segmentation"]}
            assert own == row


def test_masks_are_those_of_pycocotools(splits: DetectionSplits) -> None:
    pictures = splits.evaluation
    theirs = COCO(str(pictures.annotation_file))
    places = {category.id: place for place, category in enumerate(pictures.categories)}
    for index in range(0, len(pictures), 4):
        entry = pictures.pictures[index]
        rows = theirs.loadAnns(theirs.getAnnIds([entry.id], iscrowd=False))
        boxes, labels, segmentations = pictures.annotations(index)
        masks = masks_of(segmentations, entry.height, entry.width)
        assert masks.shape == (len(rows), *decode(pictures.read(index)).shape[1:])
        assert labels.tolist() == [places[row["category_id"]] + 1 for row in rows]
        for row, box, mask in zip(rows, boxes, masks, strict=True):
            assert np.array_equal(theirs.annToMask(row), mask)
            left, top, width, height = row["bbox"]
            assert np.allclose(box, [left, top, left + width, top + height], atol=1e-4)
