"""What the check of an annotation file refuses, and what it repairs and reports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.config.errors import ConfigurationError
from service.data.detection.coco import DetectionSet
from service.data.detection.reading import read_detection_set

Document = dict[str, Any]
Edit = Callable[[Callable[[Document], object]], Path]


def opened(root: Path, *, masks: bool = True) -> DetectionSet:
    file = root / "annotations/instances_train2017.json"
    return read_detection_set(file, root / "train2017", masks=masks)


def rows(content: Document, number: int) -> Document:
    """The annotation with an id."""
    found: Document = next(row for row in content["annotations"] if row["id"] == number)
    return found


def changes(number: int, **values: object) -> Callable[[Document], object]:
    """A change of one annotation."""
    return lambda content: rows(content, number).update(values)


def without(number: int, key: str) -> Callable[[Document], object]:
    return lambda content: rows(content, number).pop(key)


def again(name: str) -> Callable[[Document], object]:
    return lambda content: content[name].append(dict(content[name][0]))


def of_images(**values: object) -> Callable[[Document], object]:
    return lambda content: content["images"][4].update(values)


FATAL = {
    "unknown category": (
        changes(10, category_id=2),
        r"annotations: 'category_id' must be .*entry 0 with id 10, the first has 2$",
    ),
    "unlisted picture": (
        changes(11, image_id=77),
        r"'image_id' must be the id of a listed picture; .* id 11, the first has 77$",
    ),
    "picture twice": (again("images"), r"images: 'id' must be unique; .*once: 1 \(1\)"),
    "annotation twice": (again("annotations"), r"annotations: 'id' must be unique; .*1 \(10\)"),
    "category twice": (again("categories"), r"categories: 'id' must be unique; .*1 \(7\)"),
    "no pictures": (lambda content: content["images"].clear(), "images: no pictures are listed"),
    "no categories": (lambda content: content["categories"].clear(), "categories: no categories"),
    "no list": (lambda content: content.pop("annotations"), "'annotations' is missing"),
    "wrong list": (lambda content: content.update(images={}), "'images' must be a list"),
    "wrong entry": (
        lambda content: content["annotations"].append(3),
        "annotations: must hold objects only",
    ),
    "missing key": (
        without(20, "bbox"),
        r"annotations: 'bbox' is missing in entry \d+ with id 20$",
    ),
    "id of text": (changes(20, image_id="2"), r"'image_id' must be a whole number; .* has \"2\"$"),
    "huge id": (changes(20, image_id=2**64), "'image_id' has a number that does not fit 64 bits"),
    "id of truth": (changes(20, category_id=True), "'category_id' must be a whole number"),
    "box of text": (changes(20, bbox=["a", 1, 2, 3]), r"'bbox' must be four finite .* id 20$"),
    "box of three": (changes(20, bbox=[1, 2, 3]), r"'bbox' must be four finite .* id 20$"),
    "box of nothing": (changes(20, bbox=None), "'bbox' must be a list; .* has null$"),
    "box without end": (changes(20, bbox=[0, 0, float("inf"), 1]), "'bbox' must be four finite"),
    "box beyond floats": (changes(20, bbox=[0, 0, 10**400, 1]), "'bbox' must be four finite"),
    "area of text": (changes(20, area="big"), "'area' must be a whole number or a number"),
    "area not finite": (changes(20, area=float("nan")), "'area' must be a finite number"),
    "crowd of 2": (changes(20, iscrowd=2), r"'iscrowd' must be 0 or 1; .* id 20$"),
    "flat picture": (of_images(height=0), r"'width' and 'height' must be from 1 .* id 5$"),
    "giant picture": (of_images(width=10**9), r"'width' and 'height' must be from 1 .* id 5$"),
    "name of number": (of_images(file_name=5), "'file_name' must be text; entry 4 with id 5 has 5"),
    "no segmentation": (
        without(20, "segmentation"),
        r"'segmentation' is missing in entry .* id 20; a detector without masks",
    ),
    "segmentation of text": (changes(20, segmentation="x"), "'segmentation' must be a list or an"),
    "polygon of text": (
        changes(20, segmentation=[["a"] * 6]),
        r"'segmentation' must be a list of polygons .* id 20$",
    ),
    "flat list": (changes(20, segmentation=[1, 2, 3, 4]), "must be a list of polygons"),
    "odd polygon": (changes(20, segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "must be a list of polygon"),
    "endless polygon": (changes(20, segmentation=[[float("nan")] * 6]), "must be a list of polyg"),
    "wrong size": (
        changes(21, segmentation={"size": [48, 64], "counts": [48 * 64]}),
        r"size of run lengths must be .* id 21: \[48, 64\] for \[64, 48\]$",
    ),
    "no size": (
        changes(21, segmentation={"counts": [48 * 64]}),
        r"size of run lengths must be .* id 21: null for",
    ),
}


@pytest.mark.parametrize("case", FATAL)
def test_what_would_make_training_wrong_is_refused(edited: Edit, case: str) -> None:
    change, message = FATAL[case]
    root = edited(change)
    with pytest.raises(ConfigurationError, match=message) as caught:
        opened(root)
    text = str(caught.value)
    assert text.startswith(str(root / "annotations/instances_train2017.json: "))
    assert "\n" not in text
    assert len(text) < len(str(root)) + 350


@pytest.mark.parametrize(
    "counts",
    [
        [64 * 48 - 1],  # too few
        [64 * 48, 1],  # too many
        [-1, 64 * 48 + 1],
        [1.5, 64 * 48 - 1.5],
        [],
        "",
        None,
        "PP",  # two empty runs
        "\x00\x01",
        "ößß",
        "o",  # ends in the middle of a number
        "oooooooooooo0",
        "P`0",
    ],
)
def test_run_lengths_that_do_not_fill_their_picture_are_refused(
    edited: Edit, counts: object
) -> None:
    """Decoding them, pycocotools would write beyond the mask."""
    root = edited(changes(21, segmentation={"size": [64, 48], "counts": counts}))
    with pytest.raises(ConfigurationError, match=r"counts of run lengths must fill .* id 21$"):
        opened(root)


def test_many_cases_are_counted_and_the_first_shown(edited: Edit) -> None:
    def change(content: Document) -> None:
        for row in content["annotations"]:
            row["category_id"] += 100

    with pytest.raises(ConfigurationError, match=r"16 of 16 entries \(entry \d+ .*, …\)"):
        opened(edited(change))


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_truncated_file_is_refused(own_coco: Path, length: int) -> None:
    file = own_coco / "annotations/instances_train2017.json"
    file.write_text(file.read_text()[:length])
    with pytest.raises(ConfigurationError, match=r"json: not a whole JSON file \(") as caught:
        opened(own_coco)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "not a whole JSON file"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "must hold an object with images, annotations, categories"),
    ],
)
def test_other_files_are_refused(own_coco: Path, content: bytes, message: str) -> None:
    (own_coco / "annotations/instances_train2017.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        opened(own_coco)


def test_a_missing_file_is_refused(own_coco: Path) -> None:
    (own_coco / "annotations/instances_train2017.json").unlink()
    with pytest.raises(ConfigurationError, match=r"json: cannot be read \(No such file"):
        opened(own_coco)


def numbers(pictures: DetectionSet) -> set[int]:
    return {row["id"] for row in pictures.ground_truth()["annotations"]}


def test_a_sound_file_has_no_findings(coco_root: Path) -> None:
    assert opened(coco_root).findings == ()


@pytest.mark.parametrize("box", [[4, 6, 0, 12], [4, 6, 20, -3]])
def test_boxes_without_an_area_are_dropped(edited: Edit, box: list[int]) -> None:
    pictures = opened(edited(changes(20, bbox=box)))
    assert pictures.findings == ("1 boxes without an area, dropped (annotation 20 of picture 2)",)
    assert 20 not in numbers(pictures)
    assert pictures.annotations(1)[1].tolist() == [3]


def test_boxes_over_the_border_are_clipped(edited: Edit) -> None:
    pictures = opened(edited(changes(20, bbox=[-4, 6, 20, 100])))
    assert pictures.findings == (
        "1 boxes that reach over the border of their picture, clipped (annotation 20 of picture 2)",
    )
    assert pictures.annotations(1)[0][0].tolist() == [0, 6, 16, 64]
    truth = next(row for row in pictures.ground_truth()["annotations"] if row["id"] == 20)
    assert truth["bbox"] == [-4, 6, 20, 100]


def test_a_rounding_error_is_clipped_and_no_finding(edited: Edit) -> None:
    pictures = opened(edited(changes(20, bbox=[4, 6, 44.01, 12])))
    assert pictures.findings == ()
    assert pictures.annotations(1)[0][0].tolist() == [4, 6, 48, 18]


@pytest.mark.parametrize(
    "box", [[48, 6, 20, 12], [-30, 6, 20, 12], [4, 64, 5, 5], [1e300, 0, 1e308, 5], [9, 9, 1e-9, 1]]
)
def test_boxes_that_lie_outside_are_dropped(edited: Edit, box: list[float]) -> None:
    """Also those of which float32 leaves nothing."""
    pictures = opened(edited(changes(20, bbox=box)))
    assert pictures.findings == (
        "1 boxes of which nothing lies in their picture, dropped (annotation 20 of picture 2)",
    )
    assert 20 not in numbers(pictures)


SMALL = [4, 6, 24, 6, 24, 18, 4, 18]


@pytest.mark.parametrize(
    "damaged",
    [[], [1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [1, 1, 9, 9, 1, 1, 9, 9], [5, 5] * 8],
)
def test_polygons_without_an_area_are_dropped(edited: Edit, damaged: list[int]) -> None:
    def change(content: Document) -> None:
        rows(content, 20)["segmentation"] = [SMALL, damaged]
        rows(content, 50)["segmentation"] = [damaged]
        rows(content, 51)["segmentation"] = []
        rows(content, 60)["segmentation"] = {"size": [42, 56], "counts": [42 * 56]}

    pictures = opened(edited(change))
    assert pictures.findings == (
        "1 objects with polygons without an area, which were dropped (annotation 20 of picture 2)",
        "3 objects whose outline has no area, dropped "
        "(annotation 50 of picture 5, annotation 51 of picture 5, annotation 60 of picture 6)",
    )
    assert pictures.annotations(1)[2][0] == [SMALL]
    assert len(pictures.annotations(4)[0]) == 0
    # What stands behind what was dropped is still its own.
    assert pictures.annotations(5)[2] == [[[26, 20, 38, 20, 38, 36, 26, 36]]]
    assert pictures.annotations(6)[2] == [[SMALL], [[26, 20, 38, 20, 38, 36, 26, 36]]]


def test_a_detector_without_masks_keeps_boxes_with_damaged_outlines(edited: Edit) -> None:
    pictures = opened(edited(changes(20, segmentation=[])), masks=False)
    assert pictures.findings == ()
    assert 20 in numbers(pictures)


def test_corners_far_away_are_brought_nearer(edited: Edit) -> None:
    """The rasteriser walks along each edge, pixel by pixel."""
    far = [4, 6, 1e12, 6, 1e12, 1e12, 4, 1e12]
    pictures = opened(edited(changes(20, segmentation=[far])))
    segmentation = pictures.annotations(1)[2][0]
    assert np.abs(segmentation).max() == 2 * 64
    assert segmentation[0][:2] == [4, 6]


def test_missing_areas_and_crowd_flags_have_a_default(edited: Edit) -> None:
    def change(content: Document) -> None:
        for row in content["annotations"]:
            del row["area"]
            if not row["iscrowd"]:
                del row["iscrowd"]

    pictures = opened(edited(change))
    assert pictures.findings == ("16 annotations without an area: the area of the box is taken",)
    truth = {row["id"]: row for row in pictures.ground_truth()["annotations"]}
    assert truth[10]["area"] == 240
    assert (truth[10]["iscrowd"], truth[12]["iscrowd"]) == (0, 1)
