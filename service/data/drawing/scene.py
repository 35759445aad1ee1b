"""What stands where in a drawn picture, before any pixel: a description drawn from a seed.

Texture, place, size and tilt are independent of the shape. Colour gives a hint, as it does in the
world: most objects of a class have a hue near the class's own, the others have any colour, so only
the outline tells the class for certain.
"""

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.data.drawing.shapes import CLUTTER, SHAPES

Colour = tuple[float, float, float]
"""Red, green and blue in [0, 255]."""

TEXTURES = ("plain", "stripes", "dots", "speckle")
"""What a thing is filled with."""

_LEAST_CONTRAST = 90.0  # Euclidean distance of two RGB colours
_TYPICAL = 0.75  # share of objects with their class's hue
_LARGEST_TILT = np.pi / 5  # of an object, radians


@dataclass(frozen=True)
class Thing:
    """One thing in a scene."""

    shape: str
    """A name in `SHAPES` or `CLUTTER`."""
    centre: tuple[float, float]
    """x and y in pixels from the upper left corner."""
    radius: float
    """Radius of the circle about the shape, pixels."""
    angle: float
    """Clockwise rotation, radians."""
    colour: Colour
    """Main colour."""
    texture: str
    """One of `TEXTURES`."""
    second_colour: Colour
    """The texture's other colour."""
    period: float
    """Length of the texture's pattern, in radii."""


@dataclass(frozen=True)
class Background:
    """A gradient between two colours, with coarse blotches and grain."""

    colours: tuple[Colour, Colour]
    """At the two ends of the gradient."""
    angle: float
    """Direction of the gradient, radians."""
    blotches: float
    """Amplitude of coarse variation, grey levels."""
    grain: float
    """Amplitude of each pixel's variation, grey levels."""


@dataclass(frozen=True)
class Scene:
    """A picture's content: things from back to front."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    background: Background
    """Behind all things."""
    behind: tuple[Thing, ...]
    """Clutter behind the objects."""
    objects: tuple[Thing, ...]
    """What the picture shows; their shapes are the classes."""
    before: tuple[Thing, ...]
    """Clutter in front of the objects."""
    noise_seed: int
    """Seed of blotches, grain and speckle."""


def draw_scene(shape: str, longer_side: int, generator: np.random.Generator) -> Scene:
    """Draws the scene of a picture that shows one object.

    Args:
        shape: The object's class, a name in `SHAPES`.
        longer_side: Longer side of the picture in pixels; the shorter is 60 to 100 % of it.
        generator: Source of everything random.
    """
    shorter_side = max(1, round(longer_side * generator.uniform(0.6, 1.0)))
    upright = generator.random() < 0.5
    width, height = (shorter_side, longer_side) if upright else (longer_side, shorter_side)
    background = draw_background(generator)
    radius = shorter_side * generator.uniform(0.28, 0.48)
    clutter = [draw_clutter(width, height, generator) for _ in range(generator.integers(2, 7))]
    in_front = int(generator.integers(0, 3))
    return Scene(
        width=width,
        height=height,
        background=background,
        behind=tuple(clutter[in_front:]),
        objects=(draw_object(shape, radius, width, height, background, generator),),
        before=tuple(clutter[:in_front]),
        noise_seed=int(generator.integers(2**32)),
    )


def draw_object(
    shape: str,
    radius: float,
    width: int,
    height: int,
    background: Background,
    generator: np.random.Generator,
) -> Thing:
    """Draws an object that stands out from the background and lies at least mostly inside."""
    if shape not in SHAPES:
        raise ValueError(f"no shape is called {shape!r}; there are {', '.join(SHAPES)}")
    margin = 0.85 * radius
    middle = np.mean(background.colours, axis=0)
    return _thing(
        shape,
        (generator.uniform(margin, width - margin), generator.uniform(margin, height - margin)),
        radius,
        generator.uniform(-_LARGEST_TILT, _LARGEST_TILT),
        _object_colour(shape, middle, generator),
        generator,
    )


def draw_clutter(width: int, height: int, generator: np.random.Generator) -> Thing:
    """Draws a small thing anywhere, also over the border."""
    shape = tuple(CLUTTER)[generator.integers(len(CLUTTER))]
    centre = (generator.uniform(0, width), generator.uniform(0, height))
    radius = min(width, height) * generator.uniform(0.03, 0.12)
    angle = generator.uniform(0, 2 * np.pi)
    return _thing(shape, centre, radius, angle, _colour(generator), generator)


def _thing(
    shape: str,
    centre: tuple[float, float],
    radius: float,
    angle: float,
    colour: Colour,
    generator: np.random.Generator,
) -> Thing:
    """Draws a thing's texture."""
    return Thing(
        shape=shape,
        centre=centre,
        radius=radius,
        angle=angle,
        colour=colour,
        texture=TEXTURES[generator.integers(len(TEXTURES))],
        second_colour=_colour(generator),
        period=generator.uniform(0.25, 0.7),
    )


def draw_background(generator: np.random.Generator) -> Background:
    """Draws a background."""
    return Background(
        colours=(_colour(generator), _colour(generator)),
        angle=generator.uniform(0, 2 * np.pi),
        blotches=generator.uniform(0, 30),
        grain=generator.uniform(2, 16),
    )


def _colour(generator: np.random.Generator) -> Colour:
    """Draws any colour."""
    red, green, blue = generator.uniform(0, 255, 3).tolist()
    return red, green, blue


def _object_colour(
    shape: str, background: NDArray[np.float64], generator: np.random.Generator
) -> Colour:
    """Draws a colour near the class's hue, or any that stands out from the background."""
    if generator.random() >= _TYPICAL:
        return _contrasting(background, generator)
    hue = tuple(SHAPES).index(shape) / len(SHAPES) + generator.normal(0, 0.03)
    rgb = colorsys.hsv_to_rgb(hue % 1, generator.uniform(0.6, 1), generator.uniform(0.6, 1))
    red, green, blue = (255 * part for part in rgb)
    return red, green, blue


def _contrasting(other: NDArray[np.float64], generator: np.random.Generator) -> Colour:
    """Draws a colour that differs visibly from another."""
    while True:
        colour = _colour(generator)
        if float(np.linalg.norm(np.subtract(colour, other))) > _LEAST_CONTRAST:
            return colour
