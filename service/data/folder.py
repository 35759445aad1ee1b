"""Pictures in a tree of folders, one folder a class, as ImageNet has them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.config.errors import ConfigurationError
from service.data.packing import PackedStrings
from service.data.pictures import PICTURE_SUFFIXES, is_picture


@dataclass(frozen=True, eq=False)
class FolderPictures:
    """One split of a folder tree; a `PictureSet`."""

    folder: Path
    """Folder that holds one folder for each class."""
    classes: tuple[str, ...]
    """Class names in the order of the labels; each is the name of a folder."""
    labels: NDArray[np.int64]
    """Class of each picture, (n,), ascending."""
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
    found = _class_folders(folder)
    names = tuple(found if classes is None else classes)
    if unknown := sorted(set(found) - set(names)):
        raise ConfigurationError(
            f"data.root: {folder} has the class {unknown[0]!r}, which the training pictures lack; "
            "remove the folder or add it to train/"
        )
    counts = []

    def listed() -> Iterator[str]:
        for name in names:
            files = sorted(_picture_files(folder / name)) if name in found else []
            counts.append(len(files))
            yield from files

    files = PackedStrings.pack(listed())
    if classes is None and 0 in counts:
        raise ConfigurationError(
            f"data.root: no pictures ({', '.join(PICTURE_SUFFIXES)}) in "
            f"{folder / names[counts.index(0)]}; add some or remove the folder"
        )
    if not len(files):
        raise ConfigurationError(
            f"data.root: no pictures ({', '.join(PICTURE_SUFFIXES)}) in {folder}/*"
        )
    return FolderPictures(folder, names, np.repeat(np.arange(len(names)), counts), files)


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


def _picture_files(class_folder: Path) -> Iterator[str]:
    """Yields the paths of all pictures below a class folder, relative to it, in no order."""
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
        # Links may form loops, and may show one folder twice.
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.is_dir():
                pending.append(os.path.join(below, entry.name))
            elif is_picture(entry.name):
                yield os.path.join(below, entry.name)
