"""A listing of a folder of class folders, kept so that it need not be walked again."""

import hashlib
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from service.data.folder import FolderPictures, Listing, changed_at, pictures_of, walk
from service.data.packing import PackedStrings
from service.data.saved_arrays import UNUSABLE
from service.storage.atomic import whole_file

_FORMAT = 1
_AT_ONCE = 8
"""Folders that are asked for their times at the same time."""
_SETTLED = 2 * 10**9
"""Nanoseconds; a folder changed later than this before it was listed may change again without a
later time, which file systems count in steps of up to two seconds."""
_logger = logging.getLogger(__name__)


def listed_once(folder: Path, cache: Path, classes: Sequence[str] | None = None) -> FolderPictures:
    """Returns what `list_folder` does, from a saved listing where no folder has changed since.

    Only the folders are asked for their times: a thousand instead of a million files. A file that
    was overwritten keeps its place, and its new content is read.

    Args:
        folder: Folder that holds one folder for each class.
        cache: Folder of the listing; made where it is missing.
        classes: As in `list_folder`.

    Raises:
        ConfigurationError: As from `list_folder`.
    """
    listing = _kept(_path(folder, cache), folder)
    if listing is None:
        start = time.time_ns()
        listing = walk(folder)
        if listing.stamps.max() < start - _SETTLED:
            keep(listing, folder, cache)
    return pictures_of(listing, folder, classes)


def _path(folder: Path, cache: Path) -> Path:
    """Returns where the listing of a folder is kept."""
    digest = hashlib.blake2b(os.fsencode(folder.absolute()), digest_size=8)
    return cache / f"listing-{digest.hexdigest()}.npz"


def _kept(path: Path, folder: Path) -> Listing | None:
    """Returns the saved listing, or nothing where there is none or it is no longer true."""
    if not path.exists():
        return None
    try:
        listing = _load(path)
        places = [f"{folder}/{listing.folders[number]}" for number in range(len(listing.folders))]
    except UNUSABLE as error:
        _logger.warning("%s cannot be used and is made again: %s", path, error)
        return None
    # The time passes in waiting for the file system; each thread takes a share at once.
    shares = [places[number::_AT_ONCE] for number in range(_AT_ONCE)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(_times, shares))
    stamps = listing.stamps.tolist()
    if all(times == stamps[number::_AT_ONCE] for number, times in enumerate(found)):
        return listing
    _logger.info("%s has changed: listing it again", folder)
    return None


def _times(folders: Sequence[str]) -> list[int]:
    return [changed_at(folder) for folder in folders]


def keep(listing: Listing, folder: Path, cache: Path) -> None:
    """Writes a listing; the file appears whole or not at all. Without it nothing is wrong."""
    path = _path(folder, cache)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                format=np.array(_FORMAT),
                class_text=listing.classes.text,
                class_ends=listing.classes.ends,
                counts=listing.counts,
                file_text=listing.files.text,
                file_ends=listing.files.ends,
                folder_text=listing.folders.text,
                folder_ends=listing.folders.ends,
                stamps=listing.stamps,
            )
    except OSError as error:
        _logger.info("the listing %s is not kept: %s", path, error)


def _load(path: Path) -> Listing:
    """Reads a saved listing; raises one of `UNUSABLE` if it is damaged or of another format."""
    # np.load given a path leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
        if saved["format"] != _FORMAT:
            raise ValueError(f"it has format {saved['format']}, not {_FORMAT}")
        listing = Listing(
            PackedStrings(saved["class_text"], saved["class_ends"]),
            saved["counts"],
            PackedStrings(saved["file_text"], saved["file_ends"]),
            PackedStrings(saved["folder_text"], saved["folder_ends"]),
            saved["stamps"],
        )
    counts = listing.counts
    whole = len(counts) == len(listing.classes) and counts.sum() == len(listing.files)
    if not whole or (counts < 0).any() or len(listing.stamps) != len(listing.folders):
        raise ValueError("its parts differ in length")
    return listing
