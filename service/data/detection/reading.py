"""Reading a split: annotation file and pictures, checked in one pass."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.config.errors import ConfigurationError
from service.config.showing import is_unicode, one_line
from service.data.detection.annotation_rows import read_annotations
from service.data.detection.cleaning import cleaned
from service.data.detection.coco import Category, DetectionSet, PictureEntries
from service.data.detection.document import EXAMPLES, Table, read_document, without_collection
from service.data.detection.picture_files import missing_files, read_pictures, unique_ids
from service.data.packing import PackedStrings

Integers = NDArray[np.int64]


@without_collection()
def read_detection_set(
    annotation_file: Path,
    folder: Path,
    *,
    masks: bool,
    categories: tuple[Category, ...] | None = None,
    most_missing: float = 0.0,
) -> DetectionSet:
    """Reads and checks a split.

    What would make training wrong is an error; what can be repaired is repaired and told in
    `findings`.

    Args:
        annotation_file: A COCO instances file.
        folder: Folder of the pictures. It may be a link; what it holds may not lead out of it.
        masks: Whether segmentations are read and checked; without, they may be missing.
        categories: Categories that the set must keep to, in the order of the labels. Without them
            they are the file's, sorted by id.
        most_missing: Share of the pictures that may be missing on disk, and are then left out.

    Raises:
        ConfigurationError: The file or pictures are missing, damaged or contradict each other.
    """
    document = read_document(annotation_file)
    own = read_categories(document.categories)
    if categories is not None:
        _agree(own, categories, annotation_file)
    pictures = read_pictures(document.images)
    annotations, findings = read_annotations(
        document.annotations, pictures, categories or own, masks=masks
    )
    annotations, repaired = cleaned(annotations, pictures)
    source = folder.resolve()
    opened = DetectionSet(
        categories=categories or own,
        pictures=pictures,
        source=str(source),
        annotation_file=annotation_file,
        findings=(*findings, *repaired),
        stored=annotations,
        content=document.digest,
    )
    return _without_missing(opened, missing_files(pictures, source, annotation_file), most_missing)


def read_categories(table: Table) -> tuple[Category, ...]:
    """Returns the categories sorted by id; raises ConfigurationError without any."""
    if not len(table):
        raise table.error("no categories are listed")
    ids = unique_ids(table)
    names: list[str] = table.column("name", (str,))
    if wrong := [place for place, name in enumerate(names) if not is_unicode(name)]:
        raise table.error(f"'name' must be Unicode text; it is not in {table.cases(wrong)}")
    found = (Category(int(number), name) for number, name in zip(ids, names, strict=True))
    return tuple(sorted(found, key=lambda category: category.id))


def selected(pictures: DetectionSet, keep: NDArray[np.bool_]) -> DetectionSet:
    """Returns a set with some of the pictures, (n,) booleans, and their annotations."""
    stored = pictures.stored.kept(keep[pictures.stored.places])
    places = (np.cumsum(keep) - 1)[stored.places]
    entries = pictures.pictures
    chosen = np.flatnonzero(keep).tolist()
    files = PackedStrings.pack(entries.files[place] for place in chosen)
    return replace(
        pictures,
        pictures=PictureEntries(entries.ids[keep], entries.sizes[keep], files),
        stored=replace(stored, places=places),
    )


def without_empty_pictures(pictures: DetectionSet) -> DetectionSet:
    """Returns the set without the pictures that show no object; a crowd is none."""
    objects = pictures.stored.places[~pictures.stored.crowds]
    keep = np.bincount(objects, minlength=len(pictures)) > 0
    if keep.all():
        return pictures
    line = f"{np.count_nonzero(~keep)} pictures without objects, left out"
    return replace(selected(pictures, keep), findings=(*pictures.findings, line))


def _agree(own: tuple[Category, ...], categories: tuple[Category, ...], file: Path) -> None:
    """Raises ConfigurationError for a category that training does not have."""
    known = {category.id: category.name for category in categories}
    for category in own:
        if category.id not in known:
            raise ConfigurationError(
                f"{file}: categories: {category.id} ({category.name!r}) is not a category of the "
                "training annotations; a detector cannot learn it"
            )
        if known[category.id] != category.name:
            raise ConfigurationError(
                f"{file}: categories: {category.id} is {category.name!r} here and "
                f"{known[category.id]!r} in the training annotations"
            )


def _without_missing(
    pictures: DetectionSet, missing: Integers, most_missing: float
) -> DetectionSet:
    """Leaves missing pictures out; raises ConfigurationError where they are too many."""
    if not len(missing):
        return pictures
    names = ", ".join(one_line(pictures.name(place)) for place in missing[:EXAMPLES].tolist())
    more = ", …" if len(missing) > EXAMPLES else ""
    line = (
        f"{len(missing)} of {len(pictures)} pictures are not in {pictures.source} ({names}{more})"
    )
    if len(missing) > most_missing * len(pictures):
        remedy = (
            "; complete the folder, or set data.on_error=skip to go on without them"
            if not most_missing
            else f"; that is more than data.max_skipped_fraction={most_missing:g} allows"
        )
        raise ConfigurationError(f"{pictures.annotation_file}: images: {line}{remedy}")
    keep = np.ones(len(pictures), bool)
    keep[missing] = False
    if not keep.any():
        raise ConfigurationError(f"{pictures.annotation_file}: images: {line}")
    findings = (*pictures.findings, f"{line}, left out")
    return replace(selected(pictures, keep), findings=findings)
