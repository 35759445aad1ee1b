"""The annotations of a split, in arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.data.detection.segmentations import PackedSegmentations, Segmentation

Range = tuple[int, int]
"""First annotation and the one after the last."""


@dataclass(frozen=True, eq=False)
class Annotations:
    """m annotations, sorted by the place of their picture in the split."""

    places: NDArray[np.int64]
    """Place of each annotation's picture, (m,), ascending."""
    ids: NDArray[np.int64]
    """As the file has them, (m,)."""
    boxes: NDArray[np.float64]
    """Left, top, width, height in pixels, as the file has them, (m, 4)."""
    areas: NDArray[np.float64]
    """As the file has them, square pixels, (m,)."""
    labels: NDArray[np.int64]
    """1 to C, (m,)."""
    crowds: NDArray[np.bool_]
    """Whether an annotation is a crowd: many objects under one outline, (m,)."""
    segmentations: PackedSegmentations | None
    """None where they were not asked for."""

    def __len__(self) -> int:
        return len(self.ids)

    def range(self, place: int) -> Range:
        """Returns which annotations a picture has."""
        first, last = np.searchsorted(self.places, (place, place + 1)).tolist()
        return first, last

    def corners(self, which: Range, width: int, height: int) -> NDArray[np.float32]:
        """Returns boxes as left, top, right, bottom, clipped to their picture, float32 (k, 4)."""
        return clipped_corners(self.boxes[slice(*which)], np.array((width, height), np.float64))

    def objects(self, which: Range) -> NDArray[np.int64]:
        """Returns which annotations of a range are single objects and no crowds."""
        return which[0] + np.flatnonzero(~self.crowds[slice(*which)])

    def segmentation(self, index: int, width: int, height: int) -> Segmentation:
        """Returns one annotation's segmentation; raises ValueError where none were read."""
        if self.segmentations is None:
            raise ValueError("the segmentations of this set were not read: open it with masks=True")
        return self.segmentations.segmentation(index, height, width)

    def kept(
        self, keep: NDArray[np.bool_], polygons: NDArray[np.bool_] | None = None
    ) -> "Annotations":
        """Returns some of the annotations; places stay as they are.

        Args:
            keep: Which annotations stay, (m,).
            polygons: Which of all polygons stay if their annotation does; without, all.
        """
        packed = self.segmentations
        if packed is not None:
            if polygons is None:
                polygons = np.ones(len(packed.corners) - 1, bool)
            packed = packed.kept(keep, polygons)
        return Annotations(
            self.places[keep],
            self.ids[keep],
            self.boxes[keep],
            self.areas[keep],
            self.labels[keep],
            self.crowds[keep],
            packed,
        )


def clipped_corners(boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns boxes as left, top, right, bottom inside their pictures.

    Args:
        boxes: Left, top, width, height in pixels, (k, 4).
        sizes: Width and height of each box's picture, (k, 2) or (2,).
    """
    with np.errstate(over="ignore"):
        corners = np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), axis=1)
    limits = np.concatenate((sizes, sizes), axis=-1)
    return np.clip(corners, 0, limits).astype(np.float32)


def as_coco(
    annotations: Annotations, categories: NDArray[np.int64], picture: tuple[int, int, int, int]
) -> list[dict[str, Any]]:
    """Returns one picture's annotations as a COCO file has them.

    Args:
        annotations: The annotations of the split.
        categories: Category ids in the order of the labels, (C,).
        picture: The picture's place in the split, its id, width and height.
    """
    place, picture_id, width, height = picture
    first, last = annotations.range(place)
    rows = []
    for index in range(first, last):
        row = {
            "id": int(annotations.ids[index]),
            "image_id": picture_id,
            "category_id": int(categories[annotations.labels[index] - 1]),
            "bbox": annotations.boxes[index].tolist(),
            "area": float(annotations.areas[index]),
            "iscrowd": int(annotations.crowds[index]),
        }
        if annotations.segmentations is not None:
            row["segmentation"] = annotations.segmentation(index, width, height)
        rows.append(row)
    return rows
