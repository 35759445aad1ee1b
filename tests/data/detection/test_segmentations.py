"""Masks from outlines, and outlines in arrays."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from service.data.detection.segmentations import (
    PackedSegmentations,
    masks_of,
    offsets,
    packed_coordinates,
)
from service.data.packing import PackedStrings

HEIGHT, WIDTH = 12, 20
SQUARE = [2.0, 3, 10, 3, 10, 9, 2, 9]
OTHER = [12.0, 1, 16, 1, 16, 4, 12, 4]


def area(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def runs() -> tuple[dict[str, object], dict[str, object]]:
    """The square in run lengths, as a list and as text."""
    counts = [2 * HEIGHT + 3, *[6, HEIGHT - 6] * 7, 6]
    counts.append(HEIGHT * WIDTH - sum(counts))
    plain = {"size": [HEIGHT, WIDTH], "counts": counts}
    text = str(coco_mask.frPyObjects(plain, HEIGHT, WIDTH)["counts"], "ascii")
    return plain, {"size": [HEIGHT, WIDTH], "counts": text}


def test_every_way_to_write_an_outline_draws_the_same_mask() -> None:
    plain, text = runs()
    drawn = masks_of([[SQUARE], plain, text], HEIGHT, WIDTH)
    assert drawn.dtype == np.uint8
    assert drawn.flags.c_contiguous
    for mask in drawn:
        assert np.array_equal(mask, area(2, 3, 10, 9))


def test_parts_of_an_object_are_one_mask() -> None:
    (drawn,) = masks_of([[SQUARE, OTHER]], HEIGHT, WIDTH)
    assert np.array_equal(drawn, area(2, 3, 10, 9) | area(12, 1, 16, 4))


def test_what_reaches_over_the_border_is_cut() -> None:
    (drawn,) = masks_of([[[-5, -5, 4, -5, 4, 40, -5, 40]]], HEIGHT, WIDTH)
    assert np.array_equal(drawn, area(0, 0, 4, 12))


def test_no_objects_are_no_masks() -> None:
    assert masks_of([], HEIGHT, WIDTH).shape == (0, HEIGHT, WIDTH)


@pytest.fixture
def packed() -> PackedSegmentations:
    """Four objects: a square, run lengths, two parts, and another part."""
    _, text = runs()
    polygons = [SQUARE, SQUARE, OTHER, OTHER]
    return PackedSegmentations(
        offsets([1, 0, 2, 1]),
        offsets([8] * 4),
        packed_coordinates(np.array(polygons).reshape(-1)),
        PackedStrings.pack(["", str(text["counts"]), "", ""]),
    )


def test_packed_outlines_come_back(packed: PackedSegmentations) -> None:
    _, text = runs()
    found = [packed.segmentation(index, HEIGHT, WIDTH) for index in range(len(packed))]
    assert found == [[SQUARE], text, [SQUARE, OTHER], [OTHER]]
    assert packed.has_runs().tolist() == [False, True, False, False]


def test_some_objects_and_parts_can_be_kept(packed: PackedSegmentations) -> None:
    _, text = runs()
    kept = packed.kept(np.array([False, True, True, True]), np.array([True, False, True, True]))
    assert len(kept) == 3
    found = [kept.segmentation(index, HEIGHT, WIDTH) for index in range(3)]
    assert found == [text, [OTHER], [OTHER]]


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        ([0.01, 639.99, 123.45, -7.07], np.int32),
        ([0.015], np.float64),
        ([1 / 3], np.float64),
        ([1e9], np.float64),
        ([], np.int32),
    ],
)
def test_packing_loses_nothing(pixels: list[float], kind: type) -> None:
    values = np.array(pixels, np.float64)
    coordinates = packed_coordinates(values)
    assert coordinates.dtype == kind
    packed = PackedSegmentations(
        offsets([1]), offsets([len(pixels)]), coordinates, PackedStrings.pack([""])
    )
    assert packed.segmentation(0, HEIGHT, WIDTH) == [pixels]
