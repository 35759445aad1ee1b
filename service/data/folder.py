"""Pictures in a tree of folders, one folder a class, as ImageNet has them."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.config.errors import ConfigurationError
from service.data.packing import PackedStrings
from service.data.pictures import PICTURE_SUFFIXES, is_picture

_AT_ONCE = 8
"""Folders that are listed at the same time."""


@dataclass(frozen=True, eq=False)
class FolderPictures:
    """One split of a folder tree; a `PictureSet`."""

    folder: Path
    """Folder that holds one folder for each class."""
    classes: tuple[str, ...]
    """Class names in the order of the labels; each is the name of a folder."""
    labels: NDArray[np.int64]
    """Class of each picture, (n,)."""
    files: PackedStrings
    """Path of each picture below its class folder."""

    @property
    def source(self) -> str:
        """The folder that the names are relative to."""
        return str(self.folder)

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        """Returns `<class>/<file>`."""
        return f"{self.classes[self.labels[index]]}/{self.files[index]}"

    def read(self, index: int) -> bytes:
        """Returns the file's content.

        Raises:
            OSError: The file cannot be read.
        """
        return (self.folder / self.name(index)).read_bytes()

    def size(self, index: int) -> int:
        """Returns the file's size in bytes."""
        return (self.folder / self.name(index)).stat().st_size

    def update_with_names(self, content: hashlib.blake2b) -> None:
        """Hashes the paths below the class folders."""
        self.files.update(content)


@dataclass(frozen=True, eq=False)
class Listing:
    """What a folder of class folders holds."""

    classes: PackedStrings
    """Sorted names of the class folders."""
    counts: NDArray[np.int64]
    """Pictures in each."""
    files: PackedStrings
    """Path of each picture below its class folder, class by class, sorted in each."""
    folders: PackedStrings
    """All folders that were looked into, below the listed one, which is the first."""
    stamps: NDArray[np.int64]
    """When each of them was changed before it was listed, nanoseconds."""


def list_folder(folder: Path, classes: Sequence[str] | None = None) -> FolderPictures:
    """Lists the pictures of one split, sorted by class and path.

    Pictures may lie any number of folders below their class folder. Links are followed, also out
    of the tree: on clusters whole class folders are links. Hidden files and folders are left out.
    A link that leads nowhere counts as a picture and fails when it is read, so that none is lost
    in silence.

    Args:
        folder: Folder that holds one folder for each class.
        classes: Class names in label order; without them the sorted names of the folders, none of
            which may be empty.

    Raises:
        ConfigurationError: The folder is missing or holds no pictures, a class folder is empty, or
            there is a class that `classes` does not know.
    """
    return pictures_of(walk(folder), folder, classes)


def pictures_of(
    listing: Listing, folder: Path, classes: Sequence[str] | None = None
) -> FolderPictures:
    """Returns the pictures of a listed folder; see `list_folder`."""
    found = [listing.classes[number] for number in range(len(listing.classes))]
    names = tuple(found if classes is None else classes)
    if unknown := sorted(set(found) - set(names)):
        raise ConfigurationError(
            f"data.root: {folder} has the class {unknown[0]!r}, which the training pictures lack; "
            "remove the folder or add it to train/"
        )
    if classes is None and 0 in listing.counts:
        raise ConfigurationError(
            f"data.root: no pictures ({', '.join(PICTURE_SUFFIXES)}) in "
            f"{folder / found[listing.counts.tolist().index(0)]}; add some or remove the folder"
        )
    if not len(listing.files):
        raise ConfigurationError(
            f"data.root: no pictures ({', '.join(PICTURE_SUFFIXES)}) in {folder}/*"
        )
    places = {name: label for label, name in enumerate(names)}
    labels = np.repeat(np.array([places[name] for name in found], np.int64), listing.counts)
    return FolderPictures(folder, names, labels, listing.files)


def walk(folder: Path) -> Listing:
    """Looks into a folder of class folders and everything below them.

    Raises:
        ConfigurationError: A folder cannot be listed, or there are no class folders.
    """
    stamp = changed_at(folder)
    names = _class_folders(folder)
    counts: list[int] = []
    folders, stamps = [""], [stamp]

    def listed() -> Iterator[str]:
        # Most of the time passes in waiting for the file system.
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for name, found in zip(
                names, pool.map(_look_into, [folder / name for name in names]), strict=True
            ):
                counts.append(len(found.files))
                folders.extend(os.path.join(name, below) for below in found.folders)
                stamps.extend(found.stamps)
                yield from found.files

    files = PackedStrings.pack(listed())
    return Listing(
        PackedStrings.pack(names),
        np.array(counts, np.int64),
        files,
        PackedStrings.pack(folders),
        np.array(stamps, np.int64),
    )


def changed_at(folder: Path | str) -> int:
    """Returns when a folder's entries last changed, nanoseconds; -1 where it cannot be asked."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return -1


def _class_folders(folder: Path) -> list[str]:
    """Returns the sorted names of the class folders; raises ConfigurationError without any."""
    try:
        with os.scandir(folder) as scan:
            entries = [entry for entry in scan if not entry.name.startswith(".")]
    except OSError as error:
        raise ConfigurationError(
            f"data.root: cannot list {folder} ({error.strerror}); "
            "expected train/<class>/* and val/<class>/* under data.root"
        ) from error
    # A link that leads nowhere is kept: listing it below names it.
    names = sorted(entry.name for entry in entries if entry.is_dir() or _is_dangling(entry))
    if not names:
        shards = any(entry.name.endswith(".tar") for entry in entries)
        hint = "it holds .tar files: add data.kind=shards" if shards else "expected <class>/*"
        raise ConfigurationError(f"data.root: no class folders in {folder}; {hint}")
    return names


def _is_dangling(entry: os.DirEntry[str]) -> bool:
    """Returns whether the entry is a link that leads nowhere."""
    return entry.is_symlink() and not os.path.exists(entry.path)


class _Found(NamedTuple):
    """What a class folder holds."""

    files: list[str]
    folders: list[str]
    stamps: list[int]


def _look_into(class_folder: Path) -> _Found:
    """Returns the sorted paths of all pictures below a class folder, and the folders with them."""
    files: list[str] = []
    folders: list[str] = []
    stamps: list[int] = []
    pending = [""]
    seen = set()
    while pending:
        below = pending.pop()
        folder = class_folder / below
        try:
            status = folder.stat()
            with os.scandir(folder) as scan:
                entries = [entry for entry in scan if not entry.name.startswith(".")]
        except OSError as error:
            raise ConfigurationError(
                f"data.root: cannot list {folder} ({error.strerror})"
            ) from error
        folders.append(below)
        stamps.append(status.st_mtime_ns)
        # Links may form loops, and may show one folder twice.
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.is_dir():
                pending.append(os.path.join(below, entry.name))
            elif is_picture(entry.name):
                files.append(os.path.join(below, entry.name))
    return _Found(sorted(files), folders, stamps)
