"""What a detector found in a picture, in the stored picture's pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.data.detection.coco import PictureEntry
from service.detection.evaluation.masks import encode_masks
from service.detection.evaluation.run_lengths import RunLengths


@dataclass(frozen=True)
class PictureDetections:
    """The detections in one picture, best score first."""

    picture_id: int
    """As the annotation file has it."""
    boxes: NDArray[np.float64]
    """(m, 4): left, top, right, bottom, in the stored picture's pixels."""
    scores: NDArray[np.float64]
    """(m,)."""
    categories: NDArray[np.int64]
    """(m,), COCO's category ids."""
    masks: list[RunLengths] | None = None
    """m masks of the stored picture's size; None where the detector makes none."""

    def __len__(self) -> int:
        return len(self.scores)


def picture_detections(
    found: Mapping[str, Tensor],
    entry: PictureEntry,
    view: tuple[int, int],
    categories: Sequence[int],
) -> PictureDetections:
    """Returns a detector's findings as evaluation and files need them.

    Boxes are scaled from the view to the stored picture and clipped to it. A detection whose box
    or score is not finite is left out: a diverged network must not end the evaluation.

    Args:
        found: On the CPU: `boxes` (m, 4) in the view's pixels, `labels` int64 (m,), 1 to C,
            `scores` (m,), and for masks `masks` (m, 1, 28, 28), probabilities.
        entry: The picture, with its stored size.
        view: Height and width of the view.
        categories: C category ids in the order of the labels.
    """
    scores = found["scores"].float()
    boxes = _in_stored_picture(found["boxes"].float(), entry, view)
    usable = boxes.isfinite().all(dim=1) & scores.isfinite()
    order = torch.argsort(scores, descending=True, stable=True)
    order = order[usable[order]]
    boxes = boxes[order]
    masks = None
    if "masks" in found:
        probabilities = found["masks"][order, 0].float()
        masks = encode_masks(probabilities, boxes, entry.height, entry.width)
    ids = np.asarray(categories, dtype=np.int64)
    return PictureDetections(
        picture_id=entry.id,
        boxes=boxes.double().numpy(),
        scores=scores[order].double().numpy(),
        categories=ids[found["labels"][order].numpy() - 1],
        masks=masks,
    )


def _in_stored_picture(boxes: Tensor, entry: PictureEntry, view: tuple[int, int]) -> Tensor:
    """Returns boxes (m, 4) of a view in the stored picture's pixels, within the picture."""
    height, width = view
    limits = torch.tensor([entry.width, entry.height, entry.width, entry.height])
    scaled = boxes * (limits / torch.tensor([width, height, width, height]))
    # Not a clamp alone: it would turn an infinite corner into a plausible one.
    return torch.where(scaled.isfinite(), scaled.clamp(min=0).minimum(limits), scaled)
