"""The pictures that an annotation file lists, and their files."""

import errno
import os
from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from service.config.errors import ConfigurationError
from service.config.showing import one_line, shown
from service.data.detection.coco import PictureEntries
from service.data.detection.document import EXAMPLES, Table, shortened
from service.data.packing import PackedStrings

# There is no such folder, a file has its name, its links go in circles, or no folder can have it.
_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})

LONGEST_SIDE = 65_535
"""Most pixels along a side, as in JPEG files."""


def read_pictures(images: Table) -> PictureEntries:
    """Returns the pictures of an annotation file in its order.

    Raises:
        ConfigurationError: There are none, an id is listed twice, a size is not positive, a path
            climbs out of its folder, or something is missing or of the wrong type.
    """
    if not len(images):
        raise images.error("no pictures are listed")
    ids = unique_ids(images)
    sizes = np.stack([images.integers("width"), images.integers("height")], axis=1)
    if len(wrong := np.flatnonzero(((sizes < 1) | (sizes > LONGEST_SIDE)).any(1))):
        raise images.error(
            f"'width' and 'height' must be from 1 to {LONGEST_SIDE}; "
            f"they are not in {images.cases(wrong)}"
        )
    names: list[str] = images.column("file_name", (str,))
    if climbing := [place for place, name in enumerate(names) if _climbs(name)]:
        raise images.error(
            f"'file_name' must be a path inside the picture folder; it is not in "
            f"{images.cases(climbing)}, the first is {shortened(names[climbing[0]])}"
        )
    return PictureEntries(ids, sizes, PackedStrings.pack(names))


def unique_ids(table: Table) -> NDArray[np.int64]:
    """Returns a table's ids; raises ConfigurationError where one is listed twice."""
    ids = table.integers("id")
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        twice = values[counts > 1]
        shown = ", ".join(str(value) for value in twice[:EXAMPLES].tolist())
        more = ", …" if len(twice) > EXAMPLES else ""
        raise table.error(
            f"'id' must be unique; listed more than once: {len(twice)} ({shown}{more})"
        )
    return ids


def missing_files(pictures: PictureEntries, folder: Path, file: Path) -> NDArray[np.int64]:
    """Returns the places of the pictures that are not on disk.

    Each folder is listed once; no file is asked for on its own, except links.

    Raises:
        ConfigurationError: A folder or a picture is a link that leads out of `folder`, which has
            no links in it.
    """
    by_folder: dict[str, list[int]] = defaultdict(list)
    names = list(map(pictures.files.__getitem__, range(len(pictures))))
    for place, name in enumerate(names):
        by_folder[os.path.dirname(name)].append(place)
    missing: list[int] = []
    leading_out: list[int] = []
    for below, places in by_folder.items():
        inside = _inside(folder / below, folder)
        listed = _listed(folder, below, file) if inside else {}
        for place in places:
            found = listed.get(os.path.basename(names[place]))
            if found is None and inside:
                missing.append(place)
            elif not found:
                leading_out.append(place)
    if leading_out:
        first = [names[place] for place in sorted(leading_out)[:EXAMPLES]]
        shown_names = ", ".join(map(shown, first))
        raise ConfigurationError(
            f"{file}: images: 'file_name': {len(leading_out)} are links that lead out of {folder} "
            f"({shown_names}); put the pictures themselves there"
        )
    return np.array(sorted(missing), np.int64)


def _climbs(name: str) -> bool:
    """Returns whether a path may name something outside its folder, or can name nothing."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return True
    parts = name.split("/")
    return not parts[-1] or ".." in parts or PurePosixPath(name).is_absolute() or "\0" in name


def _inside(path: Path, root: Path) -> bool:
    """Returns whether a path stays below a root that has no links in it."""
    try:
        return path.resolve().is_relative_to(root)
    except RuntimeError:
        # A link that leads to itself leads nowhere: listing it finds nothing.
        return True


def _listed(root: Path, below: str, file: Path) -> dict[str, bool]:
    """Returns the names in a folder below a root, and whether each stays there; empty without it.

    Raises:
        ConfigurationError: The folder is there and cannot be listed.
    """
    try:
        with os.scandir(root / below) as scan:
            return {
                entry.name: not entry.is_symlink() or _inside(Path(entry.path), root)
                for entry in scan
                # A link that leads nowhere is a missing picture.
                if not entry.is_symlink() or os.path.exists(entry.path)
            }
    except OSError as error:
        if error.errno in _NOWHERE:
            return {}
        raise ConfigurationError(
            f"{file}: images: {one_line(root / below)} cannot be listed ({error.strerror})"
        ) from error
