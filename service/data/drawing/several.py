"""Scenes of several objects, as object detection needs them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.data.drawing.scene import (
    Scene,
    Thing,
    draw_background,
    draw_clutter,
    draw_object,
)
from service.data.drawing.visibility import visible_shares

_EMPTY_EVERY = 10  # pictures
_CROWD_EVERY = 8
_MOST_OBJECTS = 5
_LEAST_VISIBLE = 0.5  # share of an object's area; less of one is nothing to learn from
_ATTEMPTS = 20  # to find a place that hides nothing


@dataclass(frozen=True)
class Gathering:
    """A scene of objects, some of which may be a crowd."""

    scene: Scene
    """The scene; the objects of the crowd come first, behind the others."""
    crowd: int
    """How many objects the crowd has; they are all of one class."""


def draw_gathering(
    number: int, shapes: Sequence[str], longer_side: int, generator: np.random.Generator
) -> Gathering:
    """Draws a scene of one to five objects; a tenth of the scenes has none, an eighth a crowd.

    Objects hide parts of each other, yet of each at least half can be seen.

    Args:
        number: The scene's number, which says whether it is empty or has a crowd.
        shapes: The classes, names in `SHAPES`.
        longer_side: Longer side of the picture in pixels; the shorter is 60 to 100 % of it.
        generator: Source of everything else.
    """
    shorter_side = max(1, round(longer_side * generator.uniform(0.6, 1.0)))
    upright = generator.random() < 0.5
    width, height = (shorter_side, longer_side) if upright else (longer_side, shorter_side)
    drawn = [draw_clutter(width, height, generator) for _ in range(generator.integers(2, 9))]
    # A blot is a disc: as large as the smaller objects, it would be one without an annotation.
    clutter = tuple(thing for thing in drawn if thing.shape != "blot")
    in_front = int(generator.integers(0, 2))
    scene = Scene(
        width=width,
        height=height,
        background=draw_background(generator),
        behind=clutter[in_front:],
        objects=(),
        before=clutter[:in_front],
        noise_seed=int(generator.integers(2**32)),
    )
    if number % _EMPTY_EVERY == _EMPTY_EVERY - 1:
        return Gathering(scene, 0)
    crowd = _crowd(scene, shapes, generator) if number % _CROWD_EVERY == 4 else ()
    return _seen(scene, crowd, _objects(scene, crowd, shapes, generator))


def _objects(
    scene: Scene, crowd: Sequence[Thing], shapes: Sequence[str], generator: np.random.Generator
) -> tuple[Thing, ...]:
    """Draws objects that keep some distance from each other and from the crowd."""
    objects: list[Thing] = []
    for _ in range(generator.integers(1, _MOST_OBJECTS + 1)):
        shape = shapes[int(generator.integers(len(shapes)))]
        radius = min(scene.width, scene.height) * generator.uniform(0.12, 0.3)
        for _ in range(_ATTEMPTS):
            candidate = draw_object(
                shape, radius, scene.width, scene.height, scene.background, generator
            )
            if all(_apart(candidate, other) for other in (*crowd, *objects)):
                objects.append(candidate)
                break
    return tuple(objects)


def _apart(one: Thing, other: Thing) -> bool:
    """Returns whether the circles about two things overlap by a quarter of the radii at most."""
    distance = np.hypot(one.centre[0] - other.centre[0], one.centre[1] - other.centre[1])
    return bool(distance > 0.75 * (one.radius + other.radius))


def _crowd(
    scene: Scene, shapes: Sequence[str], generator: np.random.Generator
) -> tuple[Thing, ...]:
    """Draws many small objects of one class close to each other."""
    shape = shapes[int(generator.integers(len(shapes)))]
    shorter_side = min(scene.width, scene.height)
    radius = shorter_side * generator.uniform(0.05, 0.07)
    reach = 0.2 * shorter_side
    middle = np.array(
        [generator.uniform(reach, side - reach) for side in (scene.width, scene.height)]
    )
    members = []
    for _ in range(generator.integers(8, 15)):
        x, y = (middle + generator.uniform(-reach, reach, 2)).tolist()
        member = draw_object(shape, radius, scene.width, scene.height, scene.background, generator)
        members.append(replace(member, centre=(x, y)))
    return tuple(members)


def _seen(scene: Scene, crowd: tuple[Thing, ...], objects: tuple[Thing, ...]) -> Gathering:
    """Returns the scene with the things of which enough can be seen."""
    scene = replace(scene, objects=(*crowd, *objects))
    seen = [share >= _LEAST_VISIBLE for share in visible_shares(scene)]
    kept = tuple(thing for thing, enough in zip(scene.objects, seen, strict=True) if enough)
    return Gathering(replace(scene, objects=kept), sum(seen[: len(crowd)]))
