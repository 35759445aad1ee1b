"""COCO's figures in one process, equal to pycocotools to the last digit."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.benchmark.peers import figures_of, pycocotools_evaluation, quiet_truth
from service.benchmark.scenes import jittered_detections
from service.detection.evaluation.average_precision import evaluate_detections
from service.detection.evaluation.detections import PictureDetections
from service.detection.evaluation.report import EvaluationReport
from service.detection.evaluation.results import Kind, coco_results

Scenes = tuple[dict[str, Any], list[PictureDetections]]
MINI = Path(__file__).parents[4] / "shared" / "data" / "coco-mini" / "annotations"


def _assert_equal(truth: dict, found: list[PictureDetections], kind: Kind) -> EvaluationReport:
    """Holds figures, AP by category and every point of every curve beside pycocotools'."""
    evaluation = pycocotools_evaluation(quiet_truth(truth), coco_results(found, kind), kind)
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    report = evaluate_detections(truth, found, kinds=[kind])
    assert report.figures == figures_of(evaluation, kind)
    np.testing.assert_array_equal(report.precision[kind], precision)
    for place, category in enumerate(evaluation.params.catIds):
        points = precision[:, :, place]
        present = points[points > -1]
        expected = 100 * np.mean(present) if len(present) else None
        assert report.by_category[kind].get(category) == expected
    return report


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_made_up_scenes(scenes: Scenes, kind: Kind) -> None:
    report = _assert_equal(*scenes, kind)
    assert len(report.figures) == 12
    assert report.warnings == ()


@pytest.mark.shared_data
@pytest.mark.skipif(not MINI.is_dir(), reason="no shared data")
@pytest.mark.parametrize("split", ["train2017", "val2017"])
@pytest.mark.parametrize("kind", ["box", "mask"])
def test_real_annotations(split: str, kind: Kind) -> None:
    truth = json.loads((MINI / f"instances_{split}.json").read_text())
    _assert_equal(truth, jittered_detections(truth, 20, seed=5, masks=True), kind)


# Few places, sizes and scores, so that overlaps reach thresholds exactly and much is equal.
_corner = st.integers(0, 6).map(lambda place: 8.0 * place)
_side = st.sampled_from([0.0, 8.0, 16.0, 24.0, 32.0, 96.0])
_category = st.sampled_from([3, 7, 90])
_object = st.fixed_dictionaries(
    {
        "bbox": st.tuples(_corner, _corner, _side, _side).map(list),
        "area": st.sampled_from([10.0, 1023.9, 1024.0, 1024.1, 9216.0, 9217.0]),
        "iscrowd": st.sampled_from([0, 0, 0, 1]),
        "category_id": _category,
    }
)
_detection = st.tuples(
    st.tuples(_corner, _corner, _side, _side),
    st.sampled_from([0.1, 0.5, 0.9]),
    st.sampled_from([3, 7, 90, 91]),  # the ground truth does not know 91
)
_picture = st.tuples(st.lists(_object, max_size=6), st.lists(_detection, max_size=8))


def _as_coco(pictures: list) -> tuple[dict, list[PictureDetections]]:
    annotations: list[dict] = []
    found = []
    for number, (objects, detections) in enumerate(pictures):
        # Ids neither begin at 1 nor follow the file's order.
        picture = 1000 - 7 * number
        annotations += [dict(one, image_id=picture, id=0) for one in objects]
        boxes = np.array([box for box, _, _ in detections], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        scores = np.array([score for _, score, _ in detections], dtype=np.float64)
        categories = np.array([category for _, _, category in detections], dtype=np.int64)
        found.append(PictureDetections(picture, boxes, scores, categories))
    truth = {
        "images": [{"id": one.picture_id, "height": 150, "width": 150} for one in found],
        "annotations": [dict(one, id=number) for number, one in enumerate(annotations, 1)],
        "categories": [{"id": one, "name": str(one)} for one in (90, 3, 7)],
    }
    return truth, found


@given(st.lists(_picture, min_size=1, max_size=4))
@settings(max_examples=120, deadline=None)
def test_any_scene(pictures: list) -> None:
    truth, found = _as_coco(pictures)
    if not any(len(one) for one in found):
        return  # pycocotools cannot load an empty result set
    _assert_equal(truth, found, "box")


def test_more_than_a_hundred_detections_of_a_category() -> None:
    box = (8.0, 8.0, 32.0, 32.0)
    objects = [
        {"bbox": [8.0 + k, 8.0, 32.0, 32.0], "area": 1024.0, "iscrowd": 0, "category_id": 3}
        for k in range(5)
    ]
    detections = [((200.0, 8.0, 9.0, 9.0), 0.9, 3)] * 98 + [(box, 0.8, 3)] * 9
    truth, found = _as_coco([(objects, detections), (objects, detections[90:])])
    _assert_equal(truth, found, "box")


def test_a_perfect_detector_has_100_in_everything(scenes: Scenes) -> None:
    truth = copy.deepcopy(scenes[0])
    truth["annotations"] = [one for one in truth["annotations"] if not one["iscrowd"]]
    found = []
    for image in truth["images"]:
        own = [one for one in truth["annotations"] if one["image_id"] == image["id"]]
        boxes = np.array([one["bbox"] for one in own]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        ids = np.array([one["category_id"] for one in own], dtype=np.int64)
        found.append(PictureDetections(image["id"], boxes, np.ones(len(own)), ids))
    report = evaluate_detections(truth, found, kinds=["box"])
    # AR of one detection a picture cannot be 100 where there are several objects.
    figures = {name: value for name, value in report.figures.items() if name != "box_ar1"}
    assert figures == dict.fromkeys(figures, 100.0)
    assert set(report.quality.values()) == {1.0}


def _one_picture(*detections: tuple[list[float], float]) -> tuple[dict, list[PictureDetections]]:
    truth, _ = _as_coco(
        [([{"bbox": [0, 0, 40, 40], "area": 1600.0, "iscrowd": 0, "category_id": 3}], [])]
    )
    boxes = np.array([box for box, _ in detections], dtype=np.float64).reshape(-1, 4)
    scores = np.array([score for _, score in detections])
    ids = np.full(len(detections), 3)
    return truth, [PictureDetections(1000, boxes, scores, ids)]


def test_one_object_by_hand() -> None:
    # IoU 0.75 reaches six of ten thresholds; the better-scored miss halves precision.
    truth, found = _one_picture(([60, 60, 90, 90], 0.9), ([0, 0, 40, 30], 0.8))
    report = evaluate_detections(truth, found, kinds=["box"])
    assert report.figures["box_ap50"] == pytest.approx(50)
    assert report.figures["box_ap75"] == pytest.approx(50)
    assert report.figures["box_ap"] == pytest.approx(0.6 * 50)
    assert report.figures["box_ar1"] == 0
    assert report.figures["box_ar100"] == pytest.approx(60)
    assert report.by_category == {"box": {3: pytest.approx(30)}}


def test_what_there_is_no_object_for_is_left_out() -> None:
    truth, found = _one_picture(([0, 0, 40, 40], 0.9))
    report = evaluate_detections(truth, found, kinds=["box"])
    missing = {"box_ap_small", "box_ap_large", "box_ar_small", "box_ar_large"}
    assert not missing & report.figures.keys()
    assert len(report.figures) == 12 - len(missing)
    assert report.figures["box_ap_medium"] == pytest.approx(100)
    assert report.by_category["box"].keys() == {3}
    assert report.categories == {3: "3", 7: "7", 90: "90"}


@pytest.mark.parametrize("kinds", [["box"], ["box", "mask"]])
def test_an_empty_result_set_is_ap_0_with_a_warning(scenes: Scenes, kinds: list[Kind]) -> None:
    truth, _ = scenes
    none = [
        PictureDetections(image["id"], np.empty((0, 4)), np.empty(0), np.empty(0, np.int64))
        for image in truth["images"]
    ]
    report = evaluate_detections(truth, none, kinds=kinds)
    assert len(report.figures) == 12 * len(kinds)
    assert set(report.figures.values()) == {0.0}
    assert [line.split(" was")[0] for line in report.warnings] == [f"no {one}" for one in kinds]


def test_a_ground_truth_without_objects_has_no_figures() -> None:
    truth, found = _as_coco([([], [((0, 0, 8, 8), 0.5, 3)])])
    report = evaluate_detections(truth, found, kinds=["box"])
    assert report.figures == {}
    assert report.warnings == ("the ground truth has no objects: there are no figures",)


def test_an_annotation_of_id_0_is_found_like_any_other() -> None:
    truth, found = _one_picture(([0, 0, 40, 40], 0.9))
    truth["annotations"][0]["id"] = 0
    assert evaluate_detections(truth, found, kinds=["box"]).figures["box_ap"] == pytest.approx(100)


def test_the_ground_truth_is_not_changed(scenes: Scenes) -> None:
    truth, found = scenes
    before = json.dumps(truth)
    evaluate_detections(truth, found, kinds=["box", "mask"])
    assert json.dumps(truth) == before


def test_the_worst_pictures_come_first() -> None:
    thing = {"bbox": [0.0, 0.0, 40.0, 40.0], "area": 1600.0, "iscrowd": 0, "category_id": 3}
    crowd = dict(thing, iscrowd=1)
    right, wrong = ((0, 0, 40, 40), 0.5, 3), ((90, 0, 40, 40), 0.9, 3)
    weak = ((0, 0, 40, 40), 0.49, 3)
    truth, found = _as_coco(
        [
            ([thing], [right]),
            ([thing], [right, wrong]),
            ([thing], [weak]),
            ([], []),
            ([], [wrong]),
            ([crowd], [right]),
        ]
    )
    report = evaluate_detections(truth, found, kinds=["box"])
    expected = {1000: 1, 993: pytest.approx(2 / 3), 986: 0, 979: 1, 972: 0, 965: 1}
    assert report.quality == expected
    assert report.worst(3) == [972, 986, 993]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found[:-1], r"of 60 pictures to evaluate: 1 missing \(id 60\)"),
        (lambda found: [*found, found[4]], r"1 evaluated more than once \(id 5\)"),
        (lambda found: found[5:], r"5 missing \(id 1, 2, 3, …\)"),
    ],
)
def test_pictures_that_are_not_the_ground_truths(scenes: Scenes, change, message: str) -> None:  # noqa: ANN001
    truth, found = scenes
    with pytest.raises(RuntimeError, match=message):
        evaluate_detections(truth, change(found), kinds=["box"])


def test_a_picture_of_another_data_set(scenes: Scenes) -> None:
    truth, found = scenes
    smaller = dict(truth, images=truth["images"][1:])
    with pytest.raises(RuntimeError, match=r"1 not in the ground truth \(id 1\)"):
        evaluate_detections(smaller, found, kinds=["box"])
