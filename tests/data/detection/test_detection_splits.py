"""Both splits from a configuration."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.config.detection_data import COCODataConfig
from service.config.errors import ConfigurationError
from service.data.detection.splits import DetectionSplits, open_detection_splits

Edit = Callable[[Callable[[dict[str, Any]], object]], Path]


def opened(root: Path, **changes: object) -> DetectionSplits:
    config = COCODataConfig(root=str(root)).model_copy(update=changes)
    return open_detection_splits(config, root / "cache", masks=True)


def edit_evaluation(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = root / "annotations/instances_val2017.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_evaluation_takes_the_categories_of_training(own_coco: Path) -> None:
    edit_evaluation(own_coco, lambda content: content["categories"].pop(2))  # the trees
    edit_evaluation(own_coco, lambda content: content["annotations"].__delitem__(slice(1, None)))
    splits = opened(own_coco)
    assert splits.evaluation.categories == splits.train.categories
    assert splits.evaluation.annotations(0)[1].tolist() == [1]


def test_a_category_that_training_lacks_is_refused(own_coco: Path) -> None:
    edit_evaluation(
        own_coco, lambda content: content["categories"].append({"id": 9, "name": "fish"})
    )
    with pytest.raises(ConfigurationError, match=r"val2017\.json: categories: 9 \('fish'\) is not"):
        opened(own_coco)


def test_a_category_of_another_name_is_refused(own_coco: Path) -> None:
    edit_evaluation(own_coco, lambda content: content["categories"][0].update(name="fish"))
    with pytest.raises(ConfigurationError, match=r"categories: 7 is 'fish' here and 'kite' in"):
        opened(own_coco)


def test_empty_pictures_can_be_left_out_of_training(own_coco: Path) -> None:
    kept = opened(own_coco)
    assert [len(kept.train), len(kept.evaluation)] == [8, 5]
    train = COCODataConfig(root="").train.model_copy(update={"empty_pictures": "leave_out"})
    splits = opened(own_coco, train=train)
    assert [entry.id for entry in splits.train.pictures] == [1, 2, 4, 5, 6, 7, 8]
    assert splits.train.findings == ("1 pictures without objects, left out",)
    assert splits.train.name(2) == "000004.jpg"
    assert len(splits.train.annotations(2)[0]) == 2
    assert len(splits.evaluation) == 5


def test_a_picture_of_a_crowd_alone_is_empty(edited: Edit) -> None:
    def change(content: dict[str, Any]) -> None:
        rows = content["annotations"]
        content["annotations"] = [
            row for row in rows if row["image_id"] != 1 or row["iscrowd"] == 1
        ]

    train = COCODataConfig(root="").train.model_copy(update={"empty_pictures": "leave_out"})
    splits = opened(edited(change), train=train)
    assert splits.train.pictures[0].id == 2


def test_training_without_any_object_is_refused(edited: Edit) -> None:
    root = edited(lambda content: content["annotations"].clear())
    with pytest.raises(ConfigurationError, match="no picture shows an object"):
        opened(root)


def test_evaluation_without_any_object_is_possible(own_coco: Path) -> None:
    edit_evaluation(own_coco, lambda content: content["annotations"].clear())
    evaluation = opened(own_coco).evaluation
    assert len(evaluation) == 5
    assert evaluation.ground_truth()["annotations"] == []
    assert evaluation.annotations(4)[0].shape == (0, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": "nowhere"}, r"data\.root: there is no folder nowhere"),
        ({"train_pictures": "other"}, r"data\.train_pictures: there is no folder .*other"),
        ({"evaluation_pictures": "../x"}, r"data\.evaluation_pictures: must be a path below"),
        ({"train_annotations": "/x.json"}, r"data\.train_annotations: must be a path below"),
        ({"evaluation_annotations": "x.json"}, r"x\.json: cannot be read"),
    ],
)
def test_paths_that_lead_nowhere_are_refused(
    coco_root: Path, changes: dict[str, str], message: str
) -> None:
    config = COCODataConfig(root=str(coco_root)).model_copy(update=changes)
    with pytest.raises(ConfigurationError, match=message):
        open_detection_splits(config, coco_root, masks=True)
