"""What in annotations can be repaired: clipped or dropped, and reported."""

import numpy as np
from numpy.typing import NDArray

from service.data.detection.annotations import Annotations, clipped_corners
from service.data.detection.coco import PictureEntries
from service.data.detection.document import EXAMPLES
from service.data.detection.outlines import usable_polygons, usable_runs

_TOLERANCE = 0.5  # pixels: files round, and a rounding error is no finding

Booleans = NDArray[np.bool_]


def cleaned(
    annotations: Annotations, pictures: PictureEntries
) -> tuple[Annotations, tuple[str, ...]]:
    """Drops what cannot be learnt or evaluated.

    Dropped are boxes and outlines without an area, and boxes of which nothing lies in their
    picture. Boxes that reach over the border stay: they are clipped where
    they are read.

    Returns:
        The annotations that stay, and a line for each kind of finding.
    """
    report = _Report(annotations, pictures)
    sizes = pictures.sizes[annotations.places].astype(np.float64)
    flat, beyond, outside = _box_faults(annotations.boxes, sizes)
    report.add(flat, "boxes without an area, dropped")
    report.add(outside, "boxes of which nothing lies in their picture, dropped")
    report.add(beyond, "boxes that reach over the border of their picture, clipped")
    keep = ~(flat | outside)
    packed = annotations.segmentations
    if packed is None:
        return annotations.kept(keep), report.lines()
    usable = usable_polygons(packed)
    owners = np.repeat(np.arange(len(annotations)), np.diff(packed.parts))
    left = np.bincount(owners[usable], minlength=len(annotations))
    bare = (left == 0) & ~usable_runs(packed)
    damaged = np.zeros(len(annotations), bool)
    damaged[owners[~usable]] = True
    report.add(damaged & ~bare & keep, "objects with polygons without an area, which were dropped")
    report.add(bare & keep, "objects whose outline has no area, dropped")
    if not report.lines():
        return annotations, ()
    return annotations.kept(keep & ~bare, usable), report.lines()


class _Report:
    """Lines about findings.

    Args:
        annotations: The annotations that findings are about.
        pictures: Their pictures.
    """

    def __init__(self, annotations: Annotations, pictures: PictureEntries) -> None:
        self._annotations = annotations
        self._pictures = pictures
        self._lines: list[str] = []

    def add(self, which: Booleans, what: str) -> None:
        """Adds a line with count and first examples, if there is anything to say.

        Args:
            which: Which annotations it is about, (m,).
            what: What they are, and what was done.
        """
        found = np.flatnonzero(which)
        if not len(found):
            return
        ids = self._annotations.ids
        owners = self._pictures.ids[self._annotations.places[found[:EXAMPLES]]]
        shown = ", ".join(
            f"annotation {number} of picture {owner}"
            for number, owner in zip(ids[found[:EXAMPLES]], owners, strict=True)
        )
        self._lines.append(f"{len(found)} {what} ({shown}{', …' * (len(found) > EXAMPLES)})")

    def lines(self) -> tuple[str, ...]:
        """Returns all lines."""
        return tuple(self._lines)


def _box_faults(
    boxes: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[Booleans, Booleans, Booleans]:
    """Returns which boxes have no area, reach over the border, and leave nothing inside; disjoint.

    Of a box that float32 cannot tell from a line nothing is left either.
    """
    flat = boxes[:, 2:].min(axis=1) <= 0
    clipped = clipped_corners(boxes, sizes)
    outside = ~flat & ((clipped[:, 2:] - clipped[:, :2]).min(axis=1) <= 0)
    with np.errstate(over="ignore"):
        excess = (boxes[:, :2] + boxes[:, 2:] - sizes).max(axis=1)
    over = (excess > _TOLERANCE) | (boxes[:, :2].min(axis=1) < -_TOLERANCE)
    return flat, ~flat & ~outside & over, outside
