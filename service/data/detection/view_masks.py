"""Masks of a view, drawn at the view's own scale.

Polygons are moved and scaled first and drawn once: outlines stay as sharp as the polygon is, where
a mask that is drawn in the picture and then enlarged has steps as large as the factor. At the
picture's own scale both give the same bits, those of COCO's evaluation. Run lengths have no finer
outline; their masks are resized, each pixel taking the nearest one.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from service.data.detection.scaling import Placement
from service.data.detection.segmentations import Segmentation, masks_of

_FINER = 5.0
"""Steps to a pixel in which pycocotools draws polygons."""


def view_masks(
    segmentations: Sequence[Segmentation], placement: Placement, picture_size: tuple[int, int]
) -> Tensor:
    """Draws the masks of a view.

    Args:
        segmentations: k segmentations in the picture's pixels.
        placement: The view.
        picture_size: Height and width of the picture.

    Returns:
        uint8 (k, h, w), 0 or 1, with h and w those of the view.
    """
    masks = np.zeros((len(segmentations), *placement.canvas), np.uint8)
    # A mirrored view is drawn as its mirror image: the drawing rounds left and right differently.
    canvas = masks[:, :, ::-1] if placement.flip else masks
    canvas = canvas[:, : placement.size[0], : placement.size[1]]
    stored = []
    for place, segmentation in enumerate(segmentations):
        if isinstance(segmentation, list):
            _draw_polygons([_placed(part, placement) for part in segmentation], canvas[place])
        else:
            stored.append(place)
    if stored:
        whole = torch.from_numpy(
            masks_of([segmentations[place] for place in stored], *picture_size)
        )
        resized = v2.resized_crop(
            # As pixels: a tv_tensors.Mask would be resized with the neighbour half a pixel off.
            whole,
            placement.top,
            placement.left,
            placement.height,
            placement.width,
            list(placement.size),
            interpolation=InterpolationMode.NEAREST_EXACT,
        )
        canvas[stored] = resized.numpy()
    return torch.from_numpy(masks)


def _placed(polygon: Sequence[float], placement: Placement) -> NDArray[np.float64]:
    """Returns a polygon in the view's pixels before mirroring, (c, 2)."""
    corners = np.array(polygon, np.float64).reshape(-1, 2)
    height, width = placement.size
    factor = np.array((width / placement.width, height / placement.height))
    placed: NDArray[np.float64] = (corners - (placement.left, placement.top)) * factor
    return placed


def _draw_polygons(polygons: Sequence[NDArray[np.float64]], canvas: NDArray[np.uint8]) -> None:
    """Draws the union of polygons, and touches no more of the canvas (h, w) than their window."""
    corners = np.concatenate(polygons)
    height, width = canvas.shape
    left, top = (max(0, math.floor(low) - 1) for low in corners.min(0))
    right, bottom = (
        min(most, math.ceil(high) + 1)
        for high, most in zip(corners.max(0), (width, height), strict=True)
    )
    if right <= left or bottom <= top:
        return
    runs = coco_mask.frPyObjects(
        [_in_window(polygon, left, top) for polygon in polygons], bottom - top, right - left
    )
    whole = coco_mask.merge(runs)
    canvas[top:bottom, left:right] = masks_of([whole], bottom - top, right - left)[0]


def _in_window(polygon: NDArray[np.float64], left: int, top: int) -> NDArray[np.float64]:
    """Returns a polygon relative to a window, such that it is drawn as on the whole canvas.

    pycocotools takes the whole part of 5x + 0.5, towards 0. That is done before the window's corner
    is subtracted, and what is returned gives the same steps again, negative ones too.
    """
    steps = np.trunc(polygon * _FINER + 0.5) - _FINER * np.array((left, top))
    moved: NDArray[np.float64] = np.where(steps < 0, steps - 0.75, steps) / _FINER
    return moved.reshape(-1)
