"""Copy-paste (arXiv 2012.07177): objects of one view put into another one.

As in section 3 of the paper, without its blending, which it finds to make no difference. Each
object of the other view is taken with probability 1/2. An object that is covered loses the covered
pixels, and its box is that of what is left. It is dropped where that is less than a tenth of what
it had in the view.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.data.detection.objects import Objects
from service.data.detection.view_objects import required_masks, tightened

LEAST_VISIBLE = 0.1
"""Share of its pixels below which a covered object is dropped."""


@dataclass(frozen=True)
class View:
    """What training sees of a picture."""

    picture: Tensor
    """uint8 (3, h, w)."""
    objects: Objects
    """In the view's pixels."""


def pasted(view: View, other: View) -> View:
    """Returns a view with a random half of another's objects on top of it.

    The two lie with their upper left corners on each other. What reaches out of the view is cut
    off. Objects of both have masks.
    """
    added = _within(_drawn_half(other.objects), view.picture)
    if not len(added):
        return view
    high, wide = required_masks(added).shape[1:]
    covered = torch.zeros(view.picture.shape[1:], dtype=torch.uint8)
    covered[:high, :wide] = required_masks(added).amax(0)
    picture = view.picture.clone()
    corner = picture[:, :high, :wide]
    corner.copy_(torch.where(covered[:high, :wide] > 0, other.picture[:, :high, :wide], corner))
    return View(picture, _joined(_uncovered(view.objects, covered), added, covered.shape))


def _drawn_half(objects: Objects) -> Objects:
    """Returns each object with probability 1/2."""
    return _chosen(objects, torch.rand(len(objects)) < 0.5)


def _within(objects: Objects, picture: Tensor) -> Objects:
    """Returns objects cut to the size of a picture; those that are outside are dropped."""
    height, width = picture.shape[1:]
    masks = required_masks(objects)[:, :height, :width]
    limits = torch.tensor((width, height))
    cut = (objects.boxes[:, 2:] > limits).any(1)
    return tightened(Objects(objects.boxes, objects.labels, masks), cut)


def _uncovered(objects: Objects, covered: Tensor) -> Objects:
    """Returns what is visible of objects; `covered` is uint8 (h, w)."""
    masks = required_masks(objects)
    before = _areas(masks)
    masks = masks * (1 - covered)
    after = _areas(masks)
    keep = after >= LEAST_VISIBLE * before
    changed = after < before
    return tightened(_chosen(Objects(objects.boxes, objects.labels, masks), keep), changed[keep])


def _areas(masks: Tensor) -> Tensor:
    """Returns the pixels of masks (k, h, w), int64 (k,)."""
    # Sums of bytes are a hundred times slower than counting: torch adds them one by one.
    return torch.tensor([np.count_nonzero(mask) for mask in masks.numpy()], dtype=torch.int64)


def _joined(first: Objects, second: Objects, size: torch.Size) -> Objects:
    """Returns the objects of both, their masks of one size."""
    masks = torch.zeros((len(first) + len(second), *size), dtype=torch.uint8)
    high, wide = required_masks(second).shape[1:]
    masks[: len(first)] = required_masks(first)
    masks[len(first) :, :high, :wide] = required_masks(second)
    return Objects(
        torch.cat((first.boxes, second.boxes)), torch.cat((first.labels, second.labels)), masks
    )


def _chosen(objects: Objects, keep: Tensor) -> Objects:
    """Returns some of the objects, bool (k,)."""
    return Objects(objects.boxes[keep], objects.labels[keep], required_masks(objects)[keep])
