"""Scenes to pixels."""

import numpy as np
from numpy.typing import NDArray

from service.data.drawing.scene import Scene, Thing
from service.data.drawing.shapes import CLUTTER, SHAPES, Plane

_DISTANCES = SHAPES | CLUTTER
_BLOTCHES = 4  # coarse cells along each side


def render(scene: Scene) -> NDArray[np.uint8]:
    """Draws a scene as RGB pixels (height, width, 3)."""
    noise = np.random.default_rng(scene.noise_seed)
    canvas = _background(scene, noise)
    for thing in (*scene.behind, *scene.objects, *scene.before):
        _draw(canvas, thing, noise)
    grain = _white_noise((scene.height, scene.width, 3), noise)
    grain *= scene.background.grain
    canvas += grain
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)


def coverage(thing: Thing, width: int, height: int) -> tuple[slice, slice, Plane]:
    """Returns the share of each pixel that a thing covers.

    Returns:
        Rows and columns of the box about the thing, clipped to the picture, and the covered shares
        in it, in [0, 1].
    """
    rows, columns, u, v = _local(thing, width, height)
    return rows, columns, _soft(thing, u, v)


def _local(thing: Thing, width: int, height: int) -> tuple[slice, slice, Plane, Plane]:
    """Returns a thing's box and the box's pixel centres in the thing's own coordinates."""
    x, y = thing.centre
    reach = thing.radius + 1
    columns = slice(max(0, int(x - reach)), max(0, min(width, int(x + reach) + 1)))
    rows = slice(max(0, int(y - reach)), max(0, min(height, int(y + reach) + 1)))
    right = (np.arange(columns.start, columns.stop, dtype=np.float32) + (0.5 - x)) / thing.radius
    down = (np.arange(rows.start, rows.stop, dtype=np.float32) + (0.5 - y)) / thing.radius
    cosine, sine = np.cos(thing.angle), np.sin(thing.angle)
    right, down = right.astype(np.float32)[None, :], down.astype(np.float32)[:, None]
    u = np.float32(cosine) * right + np.float32(sine) * down
    v = np.float32(-sine) * right + np.float32(cosine) * down
    return rows, columns, u, v


def _soft(thing: Thing, u: Plane, v: Plane) -> Plane:
    """Returns the covered share of pixels: an edge is one pixel wide."""
    distance = _DISTANCES[thing.shape](u, v) * np.float32(thing.radius)
    covered: Plane = np.clip(np.float32(0.5) - distance, 0, 1)
    return covered


def _draw(canvas: Plane, thing: Thing, noise: np.random.Generator) -> None:
    """Draws a thing over the canvas (height, width, 3)."""
    height, width, _ = canvas.shape
    rows, columns, u, v = _local(thing, width, height)
    colour = np.array(thing.colour, np.float32)
    if thing.texture != "plain":
        second = np.array(thing.second_colour, np.float32)
        colour = colour + _pattern(thing, u, v, noise)[..., None] * (second - colour)
    box = canvas[rows, columns]
    box += _soft(thing, u, v)[..., None] * (colour - box)


def _pattern(thing: Thing, u: Plane, v: Plane, noise: np.random.Generator) -> Plane:
    """Returns how much of the second colour each pixel has, at most 0.6: the first stays seen."""
    wave = np.float32(2 * np.pi / thing.period)
    share: Plane
    match thing.texture:
        case "stripes":
            share = np.float32(0.3) + np.float32(0.3) * np.sin(wave * u)
        case "dots":
            share = np.float32(0.6) * np.maximum(np.sin(wave * u) * np.sin(wave * v), 0)
        case _:
            share = np.float32(0.3) * (_white_noise(u.shape, noise) + 1)
    return share


def _background(scene: Scene, noise: np.random.Generator) -> Plane:
    """Draws the gradient and the blotches, (height, width, 3)."""
    background = scene.background
    across = np.linspace(-0.5, 0.5, scene.width, dtype=np.float32)
    down = np.linspace(-0.5, 0.5, scene.height, dtype=np.float32)
    cosine, sine = np.float32(np.cos(background.angle)), np.float32(np.sin(background.angle))
    mix = np.float32(0.5) + np.float32(0.7) * (sine * down[:, None] + cosine * across)
    first, second = np.array(background.colours, np.float32)
    canvas: Plane = first + mix[..., None] * (second - first)
    coarse = _white_noise((_BLOTCHES, _BLOTCHES, 3), noise) * np.float32(background.blotches)
    by_row = np.einsum("yi,ijc->yjc", _interpolation(scene.height), coarse)
    canvas += np.matmul(_interpolation(scene.width), by_row)
    return canvas


def _interpolation(length: int) -> Plane:
    """Returns the weights (length, cells) that stretch coarse cells linearly over a side."""
    places = np.linspace(0, _BLOTCHES - 1, length, dtype=np.float32)[:, None]
    cells = np.arange(_BLOTCHES, dtype=np.float32)
    weights: Plane = np.maximum(1 - np.abs(places - cells), 0)
    return weights


def _white_noise(shape: tuple[int, ...], noise: np.random.Generator) -> Plane:
    """Returns independent values, uniform over [-1, 1] in 256 steps: bytes are cheap to draw."""
    levels = np.frombuffer(noise.bytes(int(np.prod(shape))), np.uint8).reshape(shape)
    return levels.astype(np.float32) / np.float32(127.5) - 1
