"""The shapes, as distances: one function each says how far a point is from the outline.

Points are (u, v) with u to the right and v down, in units of the shape's radius; a shape fits a
circle of radius 1 about the origin. Distances are negative inside and right near the outline except
at corners, which is what drawing soft edges needs.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating]
"""One number for each pixel, (rows, columns)."""
Distance = Callable[[Plane, Plane], Plane]


def _arrow(u: Plane, v: Plane) -> Plane:
    width = np.abs(u)
    head = np.maximum(v, 0.72 * width - 0.69 * (v + 0.95))
    shaft = np.maximum(width - 0.24, np.abs(v - 0.42) - 0.5)
    distance: Plane = np.minimum(head, shaft)
    return distance


def _crescent(u: Plane, v: Plane) -> Plane:
    distance: Plane = np.maximum(np.hypot(u, v) - 0.92, 0.7 - np.hypot(u - 0.42, v))
    return distance


def _cross(u: Plane, v: Plane) -> Plane:
    width, height = np.abs(u), np.abs(v)
    longer, shorter = np.maximum(width, height), np.minimum(width, height)
    distance: Plane = np.maximum(longer - 0.92, shorter - 0.27)
    return distance


def _disc(u: Plane, v: Plane) -> Plane:
    distance: Plane = np.hypot(u, v) - 0.85
    return distance


def _heart(u: Plane, v: Plane) -> Plane:
    width, height = np.abs(u), v - 0.15
    # A square on its corner, and a disc on each of its two upper edges.
    square = (width + np.abs(height) - 0.75) * np.float32(0.5**0.5)
    lobe = np.hypot(width - 0.375, height + 0.375) - 0.53
    distance: Plane = np.minimum(square, lobe)
    return distance


def _hourglass(u: Plane, v: Plane) -> Plane:
    height = np.abs(v)
    distance: Plane = np.maximum(height - 0.75, 0.79 * np.abs(u) - 0.62 * height - 0.06)
    return distance


def _ring(u: Plane, v: Plane) -> Plane:
    distance: Plane = np.abs(np.hypot(u, v) - 0.7) - 0.2
    return distance


def _square(u: Plane, v: Plane) -> Plane:
    distance: Plane = np.maximum(np.abs(u), np.abs(v)) - 0.7
    return distance


def _star(u: Plane, v: Plane) -> Plane:
    # A point of a five-pointed star lies beyond at most one of its five lines.
    angles = np.pi * (0.5 + 0.4 * np.arange(5))
    lines = [u * np.float32(np.cos(a)) + v * np.float32(np.sin(a)) - 0.305 for a in angles]
    distance: Plane = np.partition(np.stack(lines), 3, axis=0)[3]
    return distance


def _triangle(u: Plane, v: Plane) -> Plane:
    distance: Plane = np.maximum(v, np.float32(0.75**0.5) * np.abs(u) - 0.5 * v) - 0.5
    return distance


SHAPES: dict[str, Distance] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "ring": _ring,
    "cross": _cross,
    "star": _star,
    "crescent": _crescent,
    "heart": _heart,
    "arrow": _arrow,
    "hourglass": _hourglass,
}
"""Distance functions by class name; a set with k classes has the first k."""

CLUTTER: dict[str, Distance] = {
    "blot": lambda u, v: np.hypot(u, v) - 1,
    "bar": lambda u, v: np.maximum(np.abs(u) - 1, np.abs(v) - 0.12),
    "corner": lambda u, v: np.maximum(np.abs(np.maximum(u, v)) - 0.2, np.hypot(u, v) - 1),
}
"""Distance functions of what is drawn to distract."""
