"""The objects of a view: moved with the picture, cut with it, dropped where nothing is left.

A box is the annotation's, unless pixels of the object were cut off or covered; then it is the box
of what is left of its mask.
"""

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from service.data.detection.coco import ObjectArrays
from service.data.detection.objects import Objects
from service.data.detection.scaling import Placement
from service.data.detection.view_masks import view_masks

LEAST_SIDE = 1.0
"""Pixels of the view; an object with a smaller side, as a factor of 0.1 makes them, is dropped."""


def view_objects(
    annotated: ObjectArrays, placement: Placement, picture_size: tuple[int, int], *, masks: bool
) -> Objects:
    """Returns the objects of a view.

    Args:
        annotated: The objects of the picture.
        placement: The view.
        picture_size: Height and width of the picture.
        masks: Whether to draw masks. An object whose mask has no pixel in the view is dropped.
    """
    boxes, labels, segmentations = annotated
    corners = torch.from_numpy(boxes)
    placed, keep = _placed_boxes(corners, placement, picture_size)
    chosen = torch.from_numpy(labels)[keep]
    if not masks:
        return Objects(placed[keep], chosen, None)
    outlines = [segmentations[place] for place in keep.nonzero()[:, 0].tolist()]
    drawn = view_masks(outlines, placement, picture_size)
    cut = _cut(corners[keep], placement)
    return tightened(Objects(placed[keep], chosen, drawn), cut)


def tightened(objects: Objects, changed: Tensor) -> Objects:
    """Returns objects whose changed ones have the box of their mask; empty masks are dropped.

    Args:
        objects: k objects with masks.
        changed: Which of them lost pixels, bool (k,).
    """
    boxes, masks = objects.boxes, required_masks(objects)
    if changed.any():
        boxes = boxes.clone()
        boxes[changed] = mask_boxes(masks[changed])
    whole = (boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE).all(1)
    # A mask may be empty where its box is not: a polygon thinner than a pixel draws nothing.
    keep = whole & masks.flatten(1).any(1).bool()
    if keep.all():
        return Objects(boxes, objects.labels, masks)
    return Objects(boxes[keep], objects.labels[keep], masks[keep])


def mask_boxes(masks: Tensor) -> Tensor:
    """Returns the smallest boxes around the pixels of masks; zeros for empty ones.

    Args:
        masks: uint8 (k, h, w).

    Returns:
        float32 (k, 4): left, top, right, bottom, on the pixels' outer edges.
    """
    sides = [_extent(masks.amax(over)) for over in (1, 2)]
    return torch.stack((sides[0][0], sides[1][0], sides[0][1], sides[1][1]), 1).to(torch.float32)


def _extent(used: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first used place and the one after the last, of each row of (k, length)."""
    length = used.shape[1]
    first = used.argmax(1)
    last = length - used.flip(1).argmax(1)
    return first, torch.where(used.amax(1) > 0, last, 0)


def _placed_boxes(
    corners: Tensor, placement: Placement, picture_size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Returns boxes clipped to the view, (m, 4), and which of them are large enough, (m,)."""
    boxes = BoundingBoxes(corners, format=BoundingBoxFormat.XYXY, canvas_size=picture_size)
    boxes = v2.resized_crop(
        boxes,
        placement.top,
        placement.left,
        placement.height,
        placement.width,
        list(placement.size),
    )
    (height, width), (high, wide) = placement.size, placement.canvas
    boxes = v2.pad(boxes, [0, 0, wide - width, high - height])
    if placement.flip:
        boxes = v2.horizontal_flip(boxes)
    boxes = v2.clamp_bounding_boxes(boxes)
    _, keep = v2.sanitize_bounding_boxes(boxes, min_size=LEAST_SIDE)
    return boxes.as_subclass(Tensor), keep


def _cut(corners: Tensor, placement: Placement) -> Tensor:
    """Returns which boxes of the picture the crop cuts, bool (k,)."""
    first = torch.tensor((placement.left, placement.top))
    last = first + torch.tensor((placement.width, placement.height))
    return (corners[:, :2] < first).any(1) | (corners[:, 2:] > last).any(1)


def required_masks(objects: Objects) -> Tensor:
    """Returns the masks of objects; raises ValueError where there are none."""
    if objects.masks is None:
        raise ValueError("these objects have no masks")
    return objects.masks
