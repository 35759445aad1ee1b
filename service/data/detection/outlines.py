"""Segmentations as an annotation file has them: read, checked and packed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from service.data.detection.document import Table, flat_numbers, shortened
from service.data.detection.run_lengths import covers
from service.data.detection.segmentations import (
    PackedSegmentations,
    in_pixels,
    offsets,
    packed_coordinates,
)
from service.data.packing import PackedStrings

_Sizes = NDArray[np.int64]

_LONGEST_OUTLINE = 2**22
"""Most pixels that the edges of a polygon pass: drawing them takes 100 bytes each."""


def read_segmentations(table: Table, sizes: _Sizes) -> PackedSegmentations:
    """Returns the segmentations of all annotations, run lengths compressed.

    Args:
        table: The annotations.
        sizes: Width and height of each annotation's picture, (m, 2).

    Raises:
        ConfigurationError: One is missing, is neither polygons nor run lengths, has run lengths of
            another size than its picture or that do not fill it.
    """
    if without := [place for place, row in enumerate(table.rows) if not _given(row)]:
        raise table.error(
            f"'segmentation' is missing in {table.cases(without)}; a detector without masks "
            "(model.kind=faster_rcnn or retinanet) needs none"
        )
    given = table.column("segmentation", (list, dict))
    polygons = [value if isinstance(value, list) else [] for value in given]
    return PackedSegmentations(
        offsets(list(map(len, polygons))),
        *_packed_polygons(table, polygons, sizes),
        _packed_runs(table, given, sizes),
    )


def usable_polygons(packed: PackedSegmentations) -> NDArray[np.bool_]:
    """Returns which polygons have at least three points and an area, (p,) (shoelace formula)."""
    lengths = np.diff(packed.corners)
    x, y = in_pixels(packed.coordinates).reshape(-1, 2).T
    enough = lengths >= 6
    if not len(x):
        return enough
    # The next corner of each, the first being that after the last.
    following = np.arange(1, len(x) + 1)
    points = packed.corners // 2
    filled = lengths > 0
    following[points[1:][filled] - 1] = points[:-1][filled]
    # Relative to a corner of the polygon itself: nothing is lost to rounding far from the origin.
    first = np.repeat(points[:-1], lengths // 2)
    x, y = x - x[first], y - y[first]
    twice = np.concatenate(([0.0], np.cumsum(x * y[following] - x[following] * y)))
    usable: NDArray[np.bool_] = enough & (np.abs(np.diff(twice[points])) > 1e-6)
    return usable


def usable_runs(packed: PackedSegmentations) -> NDArray[np.bool_]:
    """Returns which annotations have run lengths with an area, (m,)."""
    usable = packed.has_runs()
    places = np.flatnonzero(usable).tolist()
    # The area is a sum of runs; the size takes no part in it.
    runs = [{"size": [1, 1], "counts": packed.runs[place]} for place in places]
    usable[places] = coco_mask.area(runs) > 0
    return usable


def _given(row: dict[str, Any]) -> bool:
    return row.get("segmentation") is not None


def _packed_polygons(
    table: Table, polygons: Sequence[list[Any]], sizes: _Sizes
) -> tuple[NDArray[np.int64], NDArray[np.int32] | NDArray[np.float64]]:
    """Returns where each polygon starts, and all coordinates.

    Coordinates far outside the picture are brought nearer: the rasteriser walks every pixel.
    """
    flat = [polygon for parts in polygons for polygon in parts]
    if not set(map(type, flat)) <= {list} or any(len(polygon) % 2 for polygon in flat):
        raise _no_polygons(table, polygons)
    corners = offsets(list(map(len, flat)))
    try:
        points = flat_numbers(flat).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise _no_polygons(table, polygons) from error
    if len(points) and (points.min() < -sizes.min() or points.max() > 2 * sizes.min()):
        owners = np.repeat(np.arange(len(polygons)), list(map(len, polygons)))
        limits = np.repeat(sizes[owners], np.diff(corners) // 2, axis=0)
        points = np.clip(points, -limits, 2 * limits)
    _check_lengths(table, polygons, corners, points, sizes)
    return corners, packed_coordinates(points.reshape(-1))


def _check_lengths(
    table: Table,
    polygons: Sequence[list[Any]],
    corners: NDArray[np.int64],
    points: NDArray[np.float64],
    sizes: _Sizes,
) -> None:
    """Raises ConfigurationError for polygons too long to draw: each pixel of them takes memory."""
    owners = np.repeat(np.arange(len(polygons)), list(map(len, polygons)))
    width, height = sizes[owners].T
    most = np.minimum(4 * width * height + 16 * (width + height), _LONGEST_OUTLINE)
    # No corner is further away than one side: an edge passes three sides at most.
    starts, ends = corners[:-1] // 2, corners[1:] // 2
    many = np.flatnonzero((ends - starts) * 3 * np.maximum(width, height) > most)
    wrong = [
        int(owners[place])
        for place in many.tolist()
        if np.abs(np.diff(points[starts[place] : ends[place]], axis=0)).max(1).sum() > most[place]
    ]
    if wrong:
        raise table.error(
            "'segmentation': a polygon's edges must not be many times as long as its picture has "
            f"pixels; they are in {table.cases(sorted(set(wrong)))}"
        )


def _no_polygons(table: Table, polygons: Sequence[list[Any]]) -> Exception:
    """Returns the error that names annotations whose polygons are none."""
    wrong = [place for place, parts in enumerate(polygons) if not _are_polygons(parts)]
    return table.error(
        f"'segmentation' must be a list of polygons [x, y, x, y, …] or run lengths; it is not in "
        f"{table.cases(wrong)}"
    )


def _are_polygons(parts: list[Any]) -> bool:
    if not all(isinstance(part, list) and len(part) % 2 == 0 for part in parts):
        return False
    try:
        flat_numbers(parts)
    except (TypeError, ValueError):
        return False
    return True


def _packed_runs(table: Table, given: Sequence[Any], sizes: _Sizes) -> PackedStrings:
    """Returns compressed run lengths, empty for polygons."""
    encoded = [value for value in enumerate(given) if isinstance(value[1], dict)]
    places = np.array([place for place, _ in encoded], np.int64)
    expected = sizes[places][:, ::-1].tolist()
    wrong = [
        place
        for (place, value), size in zip(encoded, expected, strict=True)
        if value.get("size") != size
    ]
    if wrong:
        raise table.error(
            "'segmentation': the size of run lengths must be the picture's [height, width]; it is "
            f"not in {table.cases(wrong)}: {shortened(given[wrong[0]].get('size'))} for "
            f"{sizes[wrong[0]][::-1].tolist()}"
        )
    text = [""] * len(given)
    for place, value in encoded:
        text[place] = _compressed(value.get("counts"), *sizes[place].tolist())
    fitting = covers([text[place] for place in places.tolist()], sizes[places].prod(1))
    if not fitting.all():
        raise table.error(
            "'segmentation': the counts of run lengths must fill their picture exactly; they do "
            f"not in {table.cases(places[~fitting])}"
        )
    ends = np.cumsum(list(map(len, text)), dtype=np.int64)
    return PackedStrings(np.frombuffer("".join(text).encode("ascii"), np.uint8), ends)


def _compressed(counts: object, width: int, height: int) -> str:
    """Returns run lengths as text; empty text, which fills no picture, for what is none."""
    if isinstance(counts, str) and counts.isascii():
        return counts
    if not isinstance(counts, list) or not set(map(type, counts)) <= {int}:
        return ""
    if not all(0 <= count <= height * width for count in counts):
        return ""
    runs = {"size": [height, width], "counts": counts}
    return str(coco_mask.frPyObjects(runs, height, width)["counts"], "ascii")
