"""Pictures that are missing, or that lie where they should not."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.config.detection_data import COCODataConfig
from service.config.errors import ConfigurationError
from service.data.detection.coco import DetectionSet
from service.data.detection.reading import read_detection_set
from service.data.detection.splits import open_detection_splits

Edit = Callable[[Callable[[dict[str, Any]], object]], Path]


def opened(root: Path, most_missing: float = 0.0) -> DetectionSet:
    return read_detection_set(
        root / "annotations/instances_train2017.json",
        root / "train2017",
        masks=True,
        most_missing=most_missing,
    )


@pytest.mark.parametrize(
    "name",
    [
        "../val2017/000101.jpg",
        "below/../../val2017/000101.jpg",
        "/etc/passwd",
        "..",
        "",
        "below/",
        "a\0b.jpg",
        "\ud800.jpg",
    ],
)
def test_a_path_that_climbs_is_refused(edited: Edit, name: str) -> None:
    root = edited(lambda content: content["images"][4].update(file_name=name))
    with pytest.raises(ConfigurationError, match=r"'file_name' must be a path inside .* id 5, the"):
        opened(root)


def test_a_link_that_leads_out_is_refused(own_coco: Path) -> None:
    link = own_coco / "train2017/000005.jpg"
    link.unlink()
    link.symlink_to(own_coco / "val2017/000101.jpg")
    with pytest.raises(ConfigurationError, match=r"1 are links that lead out of .*'000005\.jpg'"):
        opened(own_coco)


def test_a_folder_that_is_a_link_leading_out_is_refused(edited: Edit) -> None:
    root = edited(lambda content: content["images"][4].update(file_name="other/000101.jpg"))
    (root / "train2017/other").symlink_to(root / "val2017")
    with pytest.raises(ConfigurationError, match=r"1 are links that lead out of .*000101\.jpg"):
        opened(root)


def test_links_inside_and_folders_below_are_followed(edited: Edit) -> None:
    root = edited(lambda content: content["images"][4].update(file_name="deep/er/five.jpg"))
    (root / "train2017/deep/er").mkdir(parents=True)
    (root / "train2017/deep/er/five.jpg").symlink_to("../../000005.jpg")
    pictures = opened(root)
    assert pictures.name(4) == "deep/er/five.jpg"
    assert pictures.read(4) == (root / "train2017/000005.jpg").read_bytes()


def test_the_folder_itself_may_be_a_link(own_coco: Path) -> None:
    elsewhere = own_coco.with_name("elsewhere")
    (own_coco / "train2017").rename(elsewhere)
    (own_coco / "train2017").symlink_to(elsewhere)
    pictures = opened(own_coco)
    assert pictures.source == str(elsewhere.resolve())
    assert pictures.read(0) == (elsewhere / "000001.jpg").read_bytes()


def test_a_link_made_after_the_check_is_not_followed(own_coco: Path) -> None:
    pictures = opened(own_coco)
    link = own_coco / "train2017/000005.jpg"
    link.unlink()
    link.symlink_to(own_coco / "val2017/000101.jpg")
    with pytest.raises(OSError, match="leads out of"):
        pictures.read(4)


@pytest.mark.parametrize("name", ["loop/a.jpg", f"{'x' * 300}/a.jpg", "a/" * 2100 + "a.jpg"])
def test_a_folder_that_cannot_be_is_a_missing_picture(edited: Edit, name: str) -> None:
    root = edited(lambda content: content["images"][4].update(file_name=name))
    (root / "train2017/loop").symlink_to("loop")
    with pytest.raises(ConfigurationError, match="1 of 8 pictures are not in") as caught:
        opened(root)
    assert str(caught.value).isprintable()
    assert len(opened(root, most_missing=0.5)) == 7


def test_a_picture_that_became_a_link_to_itself_is_an_error_of_reading(own_coco: Path) -> None:
    pictures = opened(own_coco)
    (own_coco / "train2017/000005.jpg").unlink()
    (own_coco / "train2017/000005.jpg").symlink_to("000005.jpg")
    with pytest.raises(OSError, match="symbolic links"):
        pictures.read(4)


def test_missing_pictures_are_named(own_coco: Path) -> None:
    (own_coco / "train2017/000005.jpg").unlink()
    os.replace(own_coco / "train2017/000007.jpg", own_coco / "train2017/other.jpg")
    (own_coco / "train2017/000007.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(
        ConfigurationError,
        match=r"2 of 8 pictures are not in \S+ \(000005\.jpg, 000007\.jpg\); .*on_error=skip",
    ):
        opened(own_coco)


def test_missing_pictures_can_be_left_out_with_their_objects(own_coco: Path) -> None:
    (own_coco / "train2017/000001.jpg").unlink()
    pictures = opened(own_coco, most_missing=0.125)
    assert len(pictures) == 7
    assert pictures.findings == (
        f"1 of 8 pictures are not in {pictures.source} (000001.jpg), left out",
    )
    assert pictures.pictures[0].id == 2
    assert pictures.annotations(0)[0][0].tolist() == [4, 6, 24, 18]
    truth = pictures.ground_truth()
    assert {row["image_id"] for row in truth["annotations"]} == {2, 4, 5, 6, 7, 8}
    assert isinstance(pictures.annotations(0)[2][1], dict)


def test_too_many_missing_pictures_end_the_run(own_coco: Path) -> None:
    for number in (1, 5):
        (own_coco / f"train2017/00000{number}.jpg").unlink()
    with pytest.raises(ConfigurationError, match=r"2 of 8 .*max_skipped_fraction=0\.2 allows"):
        opened(own_coco, most_missing=0.2)


def test_no_pictures_are_no_set(own_coco: Path) -> None:
    for path in (own_coco / "train2017").iterdir():
        path.unlink()
    with pytest.raises(ConfigurationError, match="8 of 8 pictures are not in"):
        opened(own_coco, most_missing=1.0)


def test_on_error_decides(own_coco: Path, coco_config: COCODataConfig) -> None:
    (own_coco / "val2017/000102.jpg").unlink()
    config = coco_config.model_copy(update={"root": str(own_coco), "max_skipped_fraction": 0.5})
    with pytest.raises(ConfigurationError, match="instances_val2017"):
        open_detection_splits(config, own_coco, masks=True)
    skipping = config.model_copy(update={"on_error": "skip"})
    splits = open_detection_splits(skipping, own_coco, masks=True)
    assert (len(splits.train), len(splits.evaluation)) == (8, 4)
    assert splits.evaluation.findings[0].startswith("1 of 5 pictures")
