"""Annotations of drawn scenes, from what can be seen of each object."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.data.drawing.scene import Scene, Thing
from service.data.drawing.several import Gathering
from service.data.drawing.visibility import Mask, outline, visible_masks


def annotate(gathering: Gathering, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields a COCO annotation for each object and for the crowd, without ids.

    An object that nothing hides has a polygon, its outline inside the picture. One that is partly
    hidden, or hollow, has run lengths, and so has the crowd.

    Args:
        gathering: The scene.
        classes: Shapes in the order of the category ids, which start at 1.
    """
    scene = gathering.scene
    whole, seen = visible_masks(scene)
    if gathering.crowd:
        crowd = np.logical_or.reduce(seen[: gathering.crowd])
        category = classes.index(scene.objects[0].shape) + 1
        yield {"category_id": category, "iscrowd": 1, **_run_lengths(crowd)}
    for place in range(gathering.crowd, len(scene.objects)):
        thing = scene.objects[place]
        hidden = not np.array_equal(whole[place], seen[place])
        polygon = None if hidden else _polygon(thing, scene)
        outlined = _run_lengths(seen[place]) if polygon is None else polygon
        yield {"category_id": classes.index(thing.shape) + 1, "iscrowd": 0, **outlined}


def _polygon(thing: Thing, scene: Scene) -> dict[str, Any] | None:
    """Returns polygon, box and area of a thing that nothing hides; None for a hollow one."""
    corners = outline(thing)
    if corners is None:
        return None
    inside: NDArray[np.float64] = np.clip(corners, 0, (scene.width, scene.height)).round(2)
    x, y = inside.T
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    left, top = inside.min(0).tolist()
    width, height = np.round(np.ptp(inside, axis=0), 2).tolist()
    return {
        "segmentation": [inside.reshape(-1).tolist()],
        "bbox": [left, top, width, height],
        "area": round(area, 2),
    }


def _run_lengths(mask: Mask) -> dict[str, Any]:
    """Returns run lengths, box and area of a mask with at least one pixel."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "segmentation": {"size": list(mask.shape), "counts": _counts(mask)},
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(mask.sum()),
    }


def _counts(mask: Mask) -> list[int]:
    """Returns lengths of runs of 0 and 1 in turn, column by column, starting with those of 0."""
    column_by_column: NDArray[np.int8] = mask.T.reshape(-1).astype(np.int8)
    changes = np.flatnonzero(np.diff(column_by_column, prepend=0))
    counts: list[int] = np.diff([0, *changes, mask.size]).tolist()
    return counts
