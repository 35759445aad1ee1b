"""Views: where they lie, their boxes and masks, and what copy-paste covers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from service.config.detection_data import LargeScaleJitterConfig, ShortSideConfig
from service.data.detection.batch import stacked
from service.data.detection.copy_paste import View, pasted
from service.data.detection.objects import Objects
from service.data.detection.scaling import Placement, draw_placement, fitted
from service.data.detection.segmentations import masks_of
from service.data.detection.view_masks import view_masks
from service.data.detection.view_objects import mask_boxes, view_objects

properties = settings(deadline=None, database=None)
SQUARE = [10.0, 20.0, 30.0, 20.0, 30.0, 40.0, 10.0, 40.0]
BOX = np.array([[10, 20, 30, 40]], np.float32)
coordinates = st.integers(-500, 7000).map(lambda hundredths: hundredths / 100)


def whole(height: int, width: int, *, flip: bool = False) -> Placement:
    """The picture as it is."""
    return Placement(0, 0, height, width, (height, width), (height, width), flip)


def rectangles(*boxes: tuple[int, int, int, int], size: int = 20) -> Objects:
    """Objects that fill their boxes, with labels from 1 on."""
    masks = torch.zeros(len(boxes), size, size, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Objects(corners, torch.arange(1, len(boxes) + 1), masks)


def masks(objects: Objects) -> Tensor:
    assert objects.masks is not None
    return objects.masks


def test_the_shorter_side_is_resized_unless_the_longer_one_becomes_too_long() -> None:
    assert fitted(480, 640, 800, 1333).size == (800, 1067)
    assert fitted(200, 800, 800, 1333).size == (333, 1333)


def test_each_of_several_sides_is_drawn() -> None:
    torch.manual_seed(0)
    scale = ShortSideConfig(sides=(32, 40, 48), longest=96)
    sizes = {draw_placement(scale, 0.5, 60, 80).size[0] for _ in range(60)}
    assert sizes == {32, 40, 48}


@properties
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32))
def test_large_scale_jitter_fills_its_square_or_pads_it(height: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    view = draw_placement(LargeScaleJitterConfig(size=64), 0.5, height, width)
    assert view.canvas == (64, 64)
    assert 1 <= view.size[0] <= 64
    assert 1 <= view.size[1] <= 64
    assert 0 <= view.top <= height - view.height
    assert 0 <= view.left <= width - view.width
    # Where something was cut off, nothing is padded.
    assert view.height == height or view.size[0] == 64
    assert view.width == width or view.size[1] == 64


@properties
@given(st.lists(st.lists(coordinates, min_size=6, max_size=6), min_size=1, max_size=3))
def test_at_its_own_scale_a_mask_is_cocos_to_the_bit(polygons: list[list[float]]) -> None:
    expected = masks_of([polygons], 48, 64)
    drawn = view_masks([polygons], whole(48, 64), (48, 64))
    mirrored = view_masks([polygons], whole(48, 64, flip=True), (48, 64))
    assert np.array_equal(drawn.numpy(), expected)
    assert np.array_equal(mirrored.numpy(), expected[:, :, ::-1])


@pytest.mark.parametrize("stored", ["polygons", "runs"])
def test_masks_lie_where_their_boxes_are(stored: str) -> None:
    """Crop (5, 5, 60, 60) enlarged twice, padded to 140, then mirrored: a square of 40 pixels."""
    counts = [10 * 80 + 20, 20, *([60, 20] * 19), 80 * 80 - (29 * 80 + 40)]
    segmentation = [SQUARE] if stored == "polygons" else {"size": [80, 80], "counts": counts}
    placement = Placement(5, 5, 60, 60, (120, 120), (140, 140), flip=True)
    annotated = (BOX, np.array([3]), [segmentation])
    objects = view_objects(annotated, placement, (80, 80), masks=True)
    expected = torch.tensor([[140 - 50.0, 30, 140 - 10, 70]])
    assert torch.allclose(objects.boxes, expected)
    assert torch.equal(mask_boxes(masks(objects)), expected)
    assert int(masks(objects).sum()) == 40 * 40
    assert objects.labels.tolist() == [3]


def test_a_cut_object_has_the_box_of_what_is_left_and_one_outside_is_dropped() -> None:
    triangle = [0.0, 0, 40, 40, 0, 40]
    boxes = np.array([[0, 0, 40, 40], [60, 60, 70, 70]], np.float32)
    other = [60.0, 60, 70, 60, 70, 70, 60, 70]
    annotated = (boxes, np.array([1, 2]), [[triangle], [other]])
    placement = Placement(0, 0, 20, 40, (20, 40), (20, 40))
    objects = view_objects(annotated, placement, (80, 80), masks=True)
    assert objects.labels.tolist() == [1]
    # The upper half of the triangle is 20 pixels wide; its box clipped would be 40.
    assert objects.boxes[0].tolist() == pytest.approx([0, 0, 20, 20], abs=1)


def test_without_masks_boxes_are_clipped_and_those_under_a_pixel_dropped() -> None:
    boxes = np.array([[10, 20, 30, 40], [0, 0, 4, 40], [70, 70, 79, 79]], np.float32)
    placement = Placement(0, 0, 80, 80, (16, 16), (32, 32))
    objects = view_objects((boxes, np.array([1, 2, 3]), []), placement, (80, 80), masks=False)
    assert objects.masks is None
    assert objects.labels.tolist() == [1, 3]
    assert torch.allclose(objects.boxes[0], torch.tensor([2.0, 4, 6, 8]))


def test_a_picture_without_objects_gives_empty_objects() -> None:
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64), [])
    objects = view_objects(nothing, whole(8, 9), (8, 9), masks=True)
    assert objects.boxes.shape == (0, 4)
    assert masks(objects).shape == (0, 8, 9)


def taken(seed: int, objects: Objects, other: Objects) -> tuple[View, View]:
    """Returns a dark view before and after objects of a bright one were pasted."""
    torch.manual_seed(seed)
    view = View(torch.zeros(3, 20, 20, dtype=torch.uint8), objects)
    return view, pasted(view, View(torch.full((3, 20, 20), 200, dtype=torch.uint8), other))


def until_pasted(objects: Objects, other: Objects) -> View:
    """Returns the first view into which all of `other` was pasted."""
    views = (taken(seed, objects, other)[1] for seed in range(100))
    return next(view for view in views if bool((view.picture == 200).any()))


def test_covered_objects_lose_pixels_and_nearly_hidden_ones_are_dropped() -> None:
    """Of the first a quarter is covered, of the second 95 %, of the third nothing."""
    objects = rectangles((0, 0, 8, 10), (6, 0, 16, 10), (0, 15, 5, 20))
    objects.masks[1, :, 6:16] = 0
    objects.masks[1, :2, 6:16] = 1
    view = until_pasted(objects, rectangles((6, 0, 16, 10)))
    assert view.objects.labels.tolist() == [1, 3, 1]
    assert view.objects.boxes.tolist() == [[0, 0, 6, 10], [0, 15, 5, 20], [6, 0, 16, 10]]
    assert torch.equal(mask_boxes(masks(view.objects)), view.objects.boxes)
    assert int(masks(view.objects).sum(0).max()) == 1
    assert torch.equal(view.picture[0] == 200, masks(view.objects)[2] == 1)


def test_what_is_pasted_is_cut_to_the_view() -> None:
    objects = rectangles((0, 0, 4, 4))
    other = rectangles((15, 15, 30, 30), size=40)
    bright = View(torch.full((3, 40, 40), 200, dtype=torch.uint8), other)
    for seed in range(20):
        torch.manual_seed(seed)
        view = pasted(View(torch.zeros(3, 20, 20, dtype=torch.uint8), objects), bright)
        if len(view.objects) == 2:
            break
    assert view.objects.boxes[1].tolist() == [15, 15, 20, 20]


def test_half_the_objects_are_pasted() -> None:
    """5 standard errors of 400 fair draws."""
    other = rectangles((0, 0, 4, 4), (10, 10, 14, 14))
    counts = [len(taken(seed, rectangles(), other)[1].objects) for seed in range(200)]
    assert abs(sum(counts) - 200) < 5 * (400 * 0.25) ** 0.5


def test_a_batch_gives_back_what_was_put_in() -> None:
    torch.manual_seed(1)
    pictures = [torch.randint(256, (3, 33, 20), dtype=torch.uint8) for _ in range(2)]
    pictures.append(torch.randint(256, (3, 20, 40), dtype=torch.uint8))
    shapes = [(3, 33, 20), (0, 33, 20), (2, 20, 40)]
    objects = [
        Objects(
            torch.rand(shape[0], 4),
            torch.randint(1, 5, (shape[0],)),
            torch.randint(2, shape, dtype=torch.uint8),
        )
        for shape in shapes
    ]
    batch = stacked(pictures, objects, [5, 1, 2])
    assert batch.pictures.shape == (3, 3, 64, 64)
    assert batch.sizes == ((33, 20), (33, 20), (20, 40))
    assert int(batch.pictures.sum()) == sum(int(picture.sum()) for picture in pictures)
    assert torch.equal(batch.pictures[2, :, :20, :40], pictures[2])
    for put, got in zip(objects, batch.objects, strict=True):
        assert torch.equal(put.boxes, got.boxes)
        assert torch.equal(put.labels, got.labels)
        assert torch.equal(masks(put), masks(got))
    moved = batch.to(torch.device("meta"))
    assert moved.pictures.device.type == masks(moved.objects[0]).device.type == "meta"
    assert moved.indices.tolist() == [5, 1, 2]
