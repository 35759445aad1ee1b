"""Masks as run lengths: the same bytes as torchvision and pycocotools give."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_masks
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from service.detection.evaluation.masks import encode_masks

HEIGHT, WIDTH = 37, 53

_inside = st.floats(0, 1, width=32)
_anywhere = st.floats(-60, 120, width=32)


def _reference(probabilities: Tensor, boxes: Tensor, height: int, width: int) -> list[dict]:
    pasted = paste_masks_in_image(probabilities[:, None], boxes, (height, width)) > 0.5
    planes = pasted[:, 0].numpy().astype(np.uint8)
    return [coco_masks.encode(np.asfortranarray(plane)) for plane in planes]


def _probabilities(kind: str, seed: int, count: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    if kind == "noise":
        return torch.rand(count, 28, 28, generator=draw)
    if kind == "smooth":
        coarse = torch.rand(count, 1, 4, 4, generator=draw)
        return torch.nn.functional.interpolate(coarse, (28, 28), mode="bilinear")[:, 0]
    return torch.full((count, 28, 28), {"full": 1.0, "empty": 0.0, "half": 0.5}[kind])


_kinds = st.sampled_from(["noise", "smooth", "full", "empty", "half"])


@given(kind=_kinds, seed=st.integers(0, 999), ends=st.tuples(_inside, _inside, _inside, _inside))
@settings(max_examples=150, deadline=None)
def test_boxes_in_the_picture_give_torchvisions_bytes(kind: str, seed: int, ends: tuple) -> None:
    x0, x1 = sorted((ends[0] * WIDTH, ends[1] * WIDTH))
    y0, y1 = sorted((ends[2] * HEIGHT, ends[3] * HEIGHT))
    boxes = torch.tensor([[x0, y0, x1, y1]])
    masks = _probabilities(kind, seed)
    assert encode_masks(masks, boxes, HEIGHT, WIDTH) == _reference(masks, boxes, HEIGHT, WIDTH)


@given(seed=st.integers(0, 999), corners=st.tuples(_anywhere, _anywhere, _anywhere, _anywhere))
@settings(max_examples=150, deadline=None)
def test_any_box_gives_torchvisions_bytes_or_nothing_where_it_fails(
    seed: int, corners: tuple
) -> None:
    boxes, masks = torch.tensor([corners]), _probabilities("smooth", seed)
    ours = encode_masks(masks, boxes, HEIGHT, WIDTH)
    try:
        theirs = _reference(masks, boxes, HEIGHT, WIDTH)
    except RuntimeError:  # torchvision cannot paste a box that lies beside the picture
        assert coco_masks.area(ours).tolist() == [0]
    else:
        assert ours == theirs


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, WIDTH, HEIGHT],  # runs go on from column to column
        [-20, -20, WIDTH + 20, HEIGHT + 20],
        [10, 0, 30, HEIGHT],
        [0, 5, WIDTH, 6],
        [WIDTH - 1, HEIGHT - 1, WIDTH, HEIGHT],
        [7, 7, 7, 7],
    ],
)
@pytest.mark.parametrize("kind", ["full", "noise"])
def test_boxes_at_the_borders(box: list[float], kind: str) -> None:
    boxes, masks = torch.tensor([box], dtype=torch.float32), _probabilities(kind, 0)
    assert encode_masks(masks, boxes, HEIGHT, WIDTH) == _reference(masks, boxes, HEIGHT, WIDTH)


def test_a_picture_of_many_detections() -> None:
    draw = torch.Generator().manual_seed(1)
    masks = torch.cat([_probabilities(k, 2, 8) for k in ("noise", "smooth", "full", "empty")])
    corners = torch.rand(32, 2, 2, generator=draw) * torch.tensor([640.0, 480.0])
    boxes = torch.cat([corners.min(dim=1).values, corners.max(dim=1).values], dim=1)
    assert encode_masks(masks, boxes, 480, 640) == _reference(masks, boxes, 480, 640)


def test_no_detections_make_no_masks() -> None:
    assert encode_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), HEIGHT, WIDTH) == []
