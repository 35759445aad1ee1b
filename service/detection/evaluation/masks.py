"""Masks of detections, 28 × 28 probabilities in a box, to COCO's run lengths in the picture."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import expand_boxes, expand_masks

from service.detection.evaluation.run_lengths import (
    Integers,
    RunLengths,
    edges_within,
    encode_edges,
)

THRESHOLD = 0.5
"""Probability above which a pixel belongs to an object."""


def encode_masks(probabilities: Tensor, boxes: Tensor, height: int, width: int) -> list[RunLengths]:
    """Encodes the masks of a picture's detections without ever making a mask of the whole picture.

    The result is byte for byte that of torchvision's `paste_masks_in_image`, a comparison with 0.5
    and pycocotools' `encode`. The network's resizing is torchvision's: a border of one zero pixel,
    a box that grows accordingly and is cut to whole pixels, bilinear interpolation.

    Args:
        probabilities: float32 (m, 28, 28), on any device; another side is possible.
        boxes: (m, 4), left, top, right, bottom in pixels of the picture. A box that lies wholly
            outside gives an empty mask, where torchvision raises an error.
        height: Height of the picture.
        width: Width of the picture.
    """
    padded, scale = expand_masks(probabilities.detach().cpu()[:, None], padding=1)
    corners = expand_boxes(boxes.detach().cpu(), scale).long().tolist()
    edges = [
        _edges(mask[None], corner, height, width)
        for mask, corner in zip(padded, corners, strict=True)
    ]
    return encode_edges(edges, height, width)


def _edges(mask: Tensor, corner: list[int], height: int, width: int) -> Integers:
    """Returns where runs of ones begin and end in the picture.

    Args:
        mask: (1, 1, 30, 30).
        corner: First and last column and row of its box: left, top, right, bottom.
        height: Height of the picture.
        width: Width of the picture.
    """
    left, top, right, bottom = corner
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(right + 1, width), min(bottom + 1, height)
    if x0 >= x1 or y0 >= y1:
        return np.empty(0, dtype=np.int64)
    size = (bottom - top + 1, right - left + 1)
    resized = F.interpolate(mask, size=size, mode="bilinear", align_corners=False)[0, 0]
    inside: NDArray[np.bool_] = (
        resized[y0 - top : y1 - top, x0 - left : x1 - left] > THRESHOLD
    ).numpy()
    return edges_within(inside, x0, y0, height)
