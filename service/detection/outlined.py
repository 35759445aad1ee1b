"""Boxes with names and translucent masks, drawn into a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from service.data.detection.segmentations import Segmentation, masks_of
from service.detection.evaluation.detections import PictureDetections

# Light enough for black letters; neighbours in the list are easy to tell apart.
COLOURS = (
    "#e69f00", "#56b4e9", "#7fd13b", "#f0e442", "#ff7f6e", "#cc99ff", "#00d0b0", "#ffb3d1",
    "#b0b0ff", "#d9b38c",
)  # fmt: skip
"""A category has the colour of its id, over and over."""

_OPACITY = 0.45
_LETTER = 12  # pixels
_LINE = 2


@dataclass(frozen=True)
class Outlined:
    """What is drawn into a picture, k of it."""

    boxes: NDArray[np.float64]
    """(k, 4): left, top, right, bottom, in the stored picture's pixels."""
    names: list[str]
    """What stands at each box."""
    colours: list[str]
    """Of each box and mask."""
    masks: list[Segmentation]
    """k masks of the stored picture's size, or none."""

    def __len__(self) -> int:
        return len(self.names)


def objects_in(annotations: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> Outlined:
    """Returns a picture's ground truth.

    Args:
        annotations: As COCO has them; segmentations may be missing.
        names: Category names by id.
    """
    boxes = np.array([one["bbox"] for one in annotations], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    outlines = [one["segmentation"] for one in annotations if "segmentation" in one]
    return Outlined(
        boxes=boxes,
        names=[
            names[one["category_id"]] + (" (crowd)" if one.get("iscrowd", 0) else "")
            for one in annotations
        ],
        colours=[_colour(one["category_id"]) for one in annotations],
        masks=outlines if len(outlines) == len(annotations) else [],
    )


def detections_in(
    found: PictureDetections, names: Mapping[int, str], score: float, most: int
) -> Outlined:
    """Returns a picture's detections.

    Args:
        found: The detections.
        names: Category names by id.
        score: Least score.
        most: Most detections; weaker ones are left out.
    """
    rows = np.flatnonzero(found.scores >= score)[:most].tolist()
    ids = found.categories.tolist()
    return Outlined(
        boxes=found.boxes[rows],
        names=[f"{names[ids[row]]} {found.scores[row]:.2f}" for row in rows],
        colours=[_colour(ids[row]) for row in rows],
        masks=[dict(found.masks[row]) for row in rows] if found.masks is not None else [],
    )


def draw_outlined(picture: Tensor, outlined: Outlined, stored: tuple[int, int]) -> Tensor:
    """Draws into a picture and returns it.

    Args:
        picture: uint8 (3, h, w), RGB.
        outlined: What to draw.
        stored: Height and width of the stored picture.

    Returns:
        uint8 (3, h, w).
    """
    if not len(outlined):
        return picture
    height, width = picture.shape[1:]
    factors = np.array([width / stored[1], height / stored[0]] * 2)
    boxes = outlined.boxes * factors
    # Large ones first, so that small ones and their names stay on top.
    order = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind="stable").tolist()
    for row in order if outlined.masks else ():
        mask = torch.from_numpy(masks_of([outlined.masks[row]], *stored))[None]
        resized = F.interpolate(mask, size=(height, width), mode="nearest")[0, 0].bool()
        # One at a time: where masks overlap torchvision draws black.
        picture = draw_segmentation_masks(picture, resized, _OPACITY, outlined.colours[row])
    drawn: Tensor = draw_bounding_boxes(
        picture,
        torch.from_numpy(boxes[order]),
        [outlined.names[row] for row in order],
        [outlined.colours[row] for row in order],
        width=_LINE,
        font=str(label_font()),
        font_size=_LETTER,
        fill_labels=True,
    )
    return drawn


def label_font() -> Path:
    """Returns the font file of all letters in pictures, one that comes with matplotlib."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _colour(category: int) -> str:
    return COLOURS[category % len(COLOURS)]
