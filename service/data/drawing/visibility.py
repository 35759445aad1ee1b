"""What of a scene's objects can be seen, and their outlines."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from service.data.drawing.rendering import coverage
from service.data.drawing.scene import Scene, Thing
from service.data.drawing.shapes import SHAPES

Mask = NDArray[np.bool_]
"""(height, width)."""

_HOLLOW = ("ring", "crescent")  # the centre is outside, so no ray from it describes them
_DIRECTIONS = 120  # steps of three degrees meet the corners of all shapes
_NARROW = 1e-4  # radians
_HALVINGS = 20


def visible_masks(scene: Scene) -> tuple[list[Mask], list[Mask]]:
    """Returns where each object would be, and where it can be seen.

    A pixel belongs to a thing that covers at least half of it.
    """
    covered = np.zeros((scene.height, scene.width), bool)
    for thing in scene.before:
        covered |= _mask(thing, scene)
    whole, seen = [], []
    for thing in reversed(scene.objects):
        mask = _mask(thing, scene)
        whole.append(mask)
        seen.append(mask & ~covered)
        covered |= mask
    return whole[::-1], seen[::-1]


def visible_shares(scene: Scene) -> list[float]:
    """Returns which share of each object's pixels can be seen; 0 for one without any pixels."""
    return [
        float(seen.sum() / max(1, whole.sum()))
        for whole, seen in zip(*visible_masks(scene), strict=True)
    ]


def outline(thing: Thing) -> NDArray[np.float64] | None:
    """Returns an object's outline as corners (k, 2), x and y in pixels, also beyond the picture.

    None for shapes that one ring of corners about the centre does not describe.
    """
    if thing.shape in _HOLLOW:
        return None
    cosine, sine = np.cos(thing.angle), np.sin(thing.angle)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    corners: NDArray[np.float64] = thing.radius * (_unit_outline(thing.shape) @ turn)
    corners += np.array(thing.centre)
    return corners


def _mask(thing: Thing, scene: Scene) -> Mask:
    mask = np.zeros((scene.height, scene.width), bool)
    rows, columns, covered = coverage(thing, scene.width, scene.height)
    mask[rows, columns] = covered >= 0.5
    return mask


@cache
def _unit_outline(shape: str) -> NDArray[np.float64]:
    """Returns where rays from the centre leave a shape of radius 1, by halving, (k, 2)."""
    # The arrow's head ends on the horizontal through its centre: a ray on each side of the edge.
    beside = (np.pi + _NARROW, 2 * np.pi - _NARROW)
    angles = np.sort([*(np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)), *beside])
    u, v = np.cos(angles), np.sin(angles)
    inside, outside = np.zeros(len(angles)), np.full(len(angles), 1.1)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        within = SHAPES[shape](middle * u, middle * v) < 0
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return np.stack([inside * u, inside * v], axis=1)
