"""Precision–recall curves."""

import io

import numpy as np
import pytest
from PIL import Image

from service.detection.evaluation.accumulation import RECALLS
from service.detection.evaluation.average_precision import evaluate_detections
from service.detection.evaluation.curves import draw_curves, mean_precision


def test_the_mean_leaves_out_categories_without_objects() -> None:
    precision = np.full((10, len(RECALLS), 3), -1.0)
    precision[..., 0], precision[..., 2] = 0.25, 0.75
    assert (mean_precision(precision) == 0.5).all()
    assert np.isnan(mean_precision(precision[..., 1:2])).all()


def test_the_area_below_a_curve_is_the_ap_at_its_threshold(scenes) -> None:  # noqa: ANN001
    truth, found = scenes
    report = evaluate_detections(truth, found, kinds=["box", "mask"])
    for kind in ("box", "mask"):
        areas = 100 * mean_precision(report.precision[kind]).mean(axis=1)
        assert areas[0] == pytest.approx(report.figures[f"{kind}_ap50"])
        assert areas[5] == pytest.approx(report.figures[f"{kind}_ap75"])
        assert areas.mean() == pytest.approx(report.figures[f"{kind}_ap"])


@pytest.mark.parametrize("kinds", [["box"], ["box", "mask"]])
def test_a_picture_with_a_panel_for_each_kind(scenes, kinds: list) -> None:  # noqa: ANN001
    truth, found = scenes
    drawn = draw_curves(evaluate_detections(truth, found, kinds=kinds))
    with Image.open(io.BytesIO(drawn)) as picture:
        assert picture.format == "PNG"
        assert picture.width == pytest.approx(832 * len(kinds), abs=2)


def test_nothing_to_find_is_no_error(scenes) -> None:  # noqa: ANN001
    truth, found = scenes
    empty = dict(truth, annotations=[])
    assert draw_curves(evaluate_detections(empty, found, kinds=["box"])).startswith(b"\x89PNG")
