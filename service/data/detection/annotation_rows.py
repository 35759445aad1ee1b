"""The rows of an annotation file's annotations, as arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.data.detection.annotations import Annotations
from service.data.detection.coco import Category, PictureEntries
from service.data.detection.document import Table, flat_numbers
from service.data.detection.outlines import read_segmentations
from service.data.detection.picture_files import LONGEST_SIDE, unique_ids

Integers = NDArray[np.int64]


def read_annotations(
    table: Table, pictures: PictureEntries, categories: tuple[Category, ...], *, masks: bool
) -> tuple[Annotations, list[str]]:
    """Reads and checks the annotations.

    Args:
        table: As the file has them.
        pictures: All pictures of the file.
        categories: All categories, in the order of the labels.
        masks: Whether segmentations are read.

    Returns:
        The annotations, sorted by picture, and lines about what was missing and assumed.

    Raises:
        ConfigurationError: Something is missing, of the wrong type, listed twice or refers to what
            is not there.
    """
    unique_ids(table)
    places = _places(table, table.integers("image_id"), pictures)
    order = np.argsort(places, kind="stable")
    table, places = table.sorted(order), places[order]
    boxes = _boxes(table)
    crowds = np.array(table.column("iscrowd", (int, bool), 0))
    if len(wrong := np.flatnonzero((crowds != 0) & (crowds != 1))):
        raise table.error(f"'iscrowd' must be 0 or 1; it is not in {table.cases(wrong)}")
    areas, assumed = _areas(table, boxes)
    sizes = pictures.sizes[places]
    annotations = Annotations(
        places=places,
        ids=table.integers("id"),
        boxes=boxes,
        areas=areas,
        labels=_labels(table, categories),
        crowds=crowds.astype(bool),
        segmentations=read_segmentations(table, sizes) if masks else None,
    )
    return annotations, assumed


def _places(table: Table, owners: Integers, pictures: PictureEntries) -> Integers:
    """Returns the place of each annotation's picture."""
    order = np.argsort(pictures.ids)
    ids = pictures.ids[order]
    found = np.minimum(np.searchsorted(ids, owners), len(ids) - 1)
    if len(unlisted := np.flatnonzero(ids[found] != owners)):
        raise table.error(
            f"'image_id' must be the id of a listed picture; it is not in {table.cases(unlisted)}, "
            f"the first has {owners[unlisted[0]]}"
        )
    return order[found]


def _labels(table: Table, categories: tuple[Category, ...]) -> Integers:
    """Returns the label of each annotation, from 1 on."""
    ids = np.array([category.id for category in categories], np.int64)
    order = np.argsort(ids)
    given = table.integers("category_id")
    found = np.minimum(np.searchsorted(ids[order], given), len(ids) - 1)
    if len(unknown := np.flatnonzero(ids[order][found] != given)):
        raise table.error(
            f"'category_id' must be the id of a category; it is not in {table.cases(unknown)}, "
            f"the first has {given[unknown[0]]}"
        )
    return order[found] + 1


def _boxes(table: Table) -> NDArray[np.float64]:
    """Returns the boxes, left, top, width, height."""
    given: list[list[Any]] = table.column("bbox", (list,))
    try:
        return flat_numbers(given).reshape(_checked_length(given), 4)
    except (TypeError, ValueError) as error:
        wrong = [place for place, box in enumerate(given) if not _is_box(box)]
        raise table.error(
            "'bbox' must be four finite numbers [left, top, width, height]; "
            f"it is not in {table.cases(wrong)}"
        ) from error


def _checked_length(boxes: list[list[Any]]) -> int:
    """Returns how many boxes there are; raises ValueError where one has not four numbers."""
    if set(map(len, boxes)) - {4}:
        raise ValueError("not four numbers each")
    return len(boxes)


def _is_box(box: list[Any]) -> bool:
    try:
        return len(flat_numbers([box])) == 4
    except (TypeError, ValueError):
        return False


def _areas(table: Table, boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    """Returns the areas; where they are missing, those of the boxes, and tells it."""
    given = table.column("area", (int, float), None)
    missing = np.array([area is None for area in given], bool)
    try:
        areas = flat_numbers([[0 if area is None else area for area in given]])
    except ValueError as error:
        raise table.error("'area' must be a finite number") from error
    areas[missing] = np.clip(boxes[missing, 2:], 0, LONGEST_SIDE).prod(axis=1)
    if not missing.any():
        return areas, []
    count = np.count_nonzero(missing)
    return areas, [f"{count} annotations without an area: the area of the box is taken"]
