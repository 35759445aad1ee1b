"""A split in COCO layout, as training and evaluation see it."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from service.config.detection_data import COCODataConfig
from service.data.decoding import decode
from service.data.detection.coco import Category, DetectionSet, PictureEntry
from service.data.detection.reading import read_detection_set
from service.data.detection.segmentations import masks_of
from service.data.detection.splits import DetectionSplits, open_detection_splits

Edit = Callable[[Callable[[dict[str, Any]], object]], Path]


def train_set(root: Path, *, masks: bool = True) -> DetectionSet:
    file = root / "annotations/instances_train2017.json"
    return read_detection_set(file, root / "train2017", masks=masks)


def file_content(pictures: DetectionSet) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(pictures.annotation_file.read_text())
    return content


def test_labels_follow_the_sorted_category_ids(coco_splits: DetectionSplits) -> None:
    expected = (Category(1, "boat"), Category(3, "tree"), Category(7, "kite"))
    assert coco_splits.train.categories == expected
    assert coco_splits.evaluation.categories == expected
    _, labels, _ = coco_splits.train.annotations(0)
    assert labels.tolist() == [1, 3, 2]
    assert labels.dtype == np.int64


def test_pictures_keep_the_order_of_the_file(coco_splits: DetectionSplits) -> None:
    train = coco_splits.train
    assert len(train) == 8
    assert [entry.id for entry in train.pictures] == list(range(1, 9))
    assert train.pictures[1] == PictureEntry(2, "000002.jpg", 48, 64)
    assert train.pictures[-1] == train.pictures[7]
    assert train.pictures[1:3] == [train.pictures[1], train.pictures[2]]
    for index, entry in enumerate(train.pictures):
        assert train.name(index) == entry.file
        assert decode(train.read(index)).shape == (3, entry.height, entry.width)


def test_boxes_are_corners_and_crowds_are_no_objects(coco_splits: DetectionSplits) -> None:
    boxes, _, segmentations = coco_splits.train.annotations(0)
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[4, 6, 24, 18], [26, 20, 38, 36], [2, 30, 12, 44]]
    assert len(segmentations) == 3
    assert segmentations[0] == [[4, 6, 24, 6, 24, 18, 4, 18]]
    assert len(segmentations[2]) == 2


def test_an_empty_picture_has_no_objects(coco_splits: DetectionSplits) -> None:
    boxes, labels, segmentations = coco_splits.train.annotations(2)
    assert boxes.shape == (0, 4)
    assert labels.shape == (0,)
    assert segmentations == []


@pytest.mark.parametrize("index", [0, 1])
def test_masks_cover_their_boxes(coco_splits: DetectionSplits, index: int) -> None:
    """Rectangles of whole pixels, from polygons of one and two parts and from run lengths."""
    entry = coco_splits.train.pictures[index]
    boxes, _, segmentations = coco_splits.train.annotations(index)
    masks = masks_of(segmentations, entry.height, entry.width)
    assert masks.dtype == np.uint8
    assert masks.shape == (len(boxes), entry.height, entry.width)
    expected = np.zeros_like(masks)
    for mask, (left, top, right, bottom) in zip(expected, boxes.astype(int), strict=True):
        mask[top:bottom, left:right] = 1
    if index == 0:
        expected[2, 38:40] = 0  # between the two parts of the tree
    assert np.array_equal(masks, expected)


def test_without_masks_nothing_is_read_of_segmentations(edited: Edit) -> None:
    root = edited(lambda content: [row.pop("segmentation") for row in content["annotations"]])
    pictures = train_set(root, masks=False)
    boxes, labels, segmentations = pictures.annotations(0)
    assert (len(boxes), len(labels), segmentations) == (3, 3, [])
    assert all("segmentation" not in row for row in pictures.ground_truth()["annotations"])


def test_ground_truth_is_the_file(coco_splits: DetectionSplits) -> None:
    for pictures in (coco_splits.train, coco_splits.evaluation):
        truth, content = pictures.ground_truth(), file_content(pictures)
        assert truth["images"] == content["images"]
        assert truth["categories"] == sorted(content["categories"], key=lambda item: item["id"])
        rows = {row["id"]: row for row in truth["annotations"]}
        assert len(rows) == len(content["annotations"])
        for row in content["annotations"]:
            if isinstance(row["segmentation"], dict):
                # Run lengths are given compressed; that they are the same is seen below.
                row.pop("segmentation")
                rows[row["id"]].pop("segmentation")
            assert rows[row["id"]] == row


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_ground_truth(coco_splits: DetectionSplits) -> None:
    theirs = COCO(str(coco_splits.train.annotation_file))
    ours = COCO()
    ours.dataset = coco_splits.train.ground_truth()
    ours.createIndex()
    assert sorted(ours.anns) == sorted(theirs.anns)
    crowds = ours.getAnnIds(iscrowd=True)
    assert crowds == theirs.getAnnIds(iscrowd=True) == [12]
    for number in theirs.anns:
        assert np.array_equal(
            ours.annToMask(ours.anns[number]), theirs.annToMask(theirs.anns[number])
        )


def test_a_set_survives_pickling(coco_splits: DetectionSplits) -> None:
    copied = pickle.loads(pickle.dumps(coco_splits.train))  # noqa: S301 # our own bytes
    assert copied.digest() == coco_splits.train.digest()
    assert copied.ground_truth() == coco_splits.train.ground_truth()
    assert copied.read(3) == coco_splits.train.read(3)


def test_numbers_with_many_decimals_lose_nothing(edited: Edit) -> None:
    corners = [4.123456789, 6, 24, 6.000000001, 24, 18, 1 / 3, 18]

    def change(content: dict[str, Any]) -> None:
        content["annotations"][0] |= {"segmentation": [corners], "bbox": [4.1, 6.7, 1 / 3, 2]}

    pictures = train_set(edited(change))
    row = next(row for row in pictures.ground_truth()["annotations"] if row["id"] == 10)
    assert row["segmentation"] == [corners]
    assert row["bbox"] == [4.1, 6.7, 1 / 3, 2]


def test_a_moved_set_keeps_its_digest(own_coco: Path, coco_splits: DetectionSplits) -> None:
    assert train_set(own_coco).digest() == coco_splits.train.digest()
    moved = own_coco.rename(own_coco.with_name("moved"))
    assert train_set(moved).digest() == coco_splits.train.digest()
    assert len(coco_splits.train.digest()) == 32
    assert coco_splits.train.digest() != coco_splits.evaluation.digest()


def test_detectors_with_and_without_masks_see_one_set(own_coco: Path) -> None:
    assert train_set(own_coco).digest() == train_set(own_coco, masks=False).digest()


@pytest.mark.parametrize("what", ["box", "picture", "category", "empty"])
def test_other_sets_have_other_digests(
    own_coco: Path, edited: Edit, coco_config: COCODataConfig, what: str
) -> None:
    config = coco_config.model_copy(update={"root": str(own_coco)})
    before = open_detection_splits(config, own_coco, masks=True).train.digest()
    if what == "box":
        edited(lambda content: content["annotations"][0].update(bbox=[4, 6, 20, 13]))
    elif what == "picture":
        shutil.copyfile(own_coco / "train2017/000001.jpg", own_coco / "train2017/000002.jpg")
    elif what == "category":
        file = own_coco / "annotations/instances_train2017.json"
        file.write_text(file.read_text().replace("boat", "ship"))
        other = own_coco / "annotations/instances_val2017.json"
        other.write_text(other.read_text().replace("boat", "ship"))
    else:
        train = config.train.model_copy(update={"empty_pictures": "leave_out"})
        config = config.model_copy(update={"train": train})
    assert open_detection_splits(config, own_coco, masks=True).train.digest() != before
