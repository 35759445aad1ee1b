"""Pictures in WebDataset tar shards, with random access through a byte index."""

import hashlib
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.config.errors import ConfigurationError
from service.config.showing import is_unicode
from service.data.open_files import OpenFiles
from service.data.pictures import PictureSet
from service.data.shard_index import ShardIndex, open_index
from service.data.shard_writing import add_sample
from service.storage.atomic import whole_folder

CLASS_FILES = ("classes.txt", "classes.json")
"""Files that name the classes, the first one that is there: one a line, or a list."""
UNFINISHED = ".preparing"
"""Folder below the root of prepared pictures until all of them are there."""


@dataclass(frozen=True, eq=False)
class IndexedPictures:
    """One split in tar shards, wherever they are: what is known without reading them."""

    classes: tuple[str, ...]
    """Class names in the order of the labels."""
    index: ShardIndex
    """Where each picture stands."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each picture, (n,)."""
        return self.index.pictures[:, 3]

    def __len__(self) -> int:
        return len(self.index.pictures)

    def name(self, index: int) -> str:
        """Returns `<shard>/<member>`."""
        return f"{self.index.shards[self.index.pictures[index, 0]]}/{self.index.members[index]}"

    def size(self, index: int) -> int:
        """Returns the picture's size in bytes."""
        return int(self.index.pictures[index, 2])

    def update_with_names(self, content: hashlib.blake2b) -> None:
        """Hashes the names of the shards and members, and which is in which."""
        self.index.shards.update(content)
        self.index.members.update(content)
        content.update(np.ascontiguousarray(self.index.pictures[:, 0]).astype("<i8").data)


@dataclass(frozen=True, eq=False)
class ShardPictures(IndexedPictures):
    """One split in tar shards; a `PictureSet`."""

    folder: Path
    """Folder of the shards."""
    _files: OpenFiles = field(default_factory=OpenFiles, repr=False)

    @property
    def source(self) -> str:
        """The folder that the names are relative to."""
        return str(self.folder)

    def read(self, index: int) -> bytes:
        """Returns the picture's bytes.

        Raises:
            OSError: The shard cannot be read or has become shorter.
        """
        shard, first, size, _ = self.index.pictures[index].tolist()
        content = self._files.read(f"{self.folder}/{self.index.shards[shard]}", first, size)
        if len(content) < size:
            raise OSError(f"the shard ends {size - len(content)} bytes too early")
        return content


def open_shards(folder: Path, classes: Sequence[str] | None = None) -> ShardPictures:
    """Opens the `*.tar` shards of a folder: pictures (`000001.jpg`) with labels (`000001.cls`).

    The class names stand in `classes.txt` (one a line) or `classes.json` (a list), beside the
    shards or one folder up; without such a file they are the labels as text.

    Args:
        folder: Folder of the shards.
        classes: Class names; without them they are looked for.

    Raises:
        ConfigurationError: There are no shards or no pictures, a shard is damaged, or a label has
            no class.
    """
    index = open_index(folder)
    given = classes or _read_classes(folder)
    return ShardPictures(class_names(index, str(folder), given), index, folder)


def class_names(index: ShardIndex, source: str, given: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the class names of indexed shards, without given ones the labels as text.

    Args:
        index: The index.
        source: Where the shards are, for messages.
        given: Class names, if there are any.

    Raises:
        ConfigurationError: There are no pictures, or a label has no class.
    """
    if not len(index.pictures):
        raise ConfigurationError(f"data.root: no pictures in the shards of {source}")
    labels = index.pictures[:, 3]
    names = tuple(given or map(str, range(labels.max() + 1)))
    if labels.max() >= len(names):
        worst = int(labels.argmax())
        raise ConfigurationError(
            f"{source}/{index.shards[index.pictures[worst, 0]]}: {index.members[worst]!r} has "
            f"label {labels[worst]}, but there are {len(names)} classes"
        )
    return names


def _read_classes(folder: Path) -> list[str] | None:
    """Returns the class names from a file beside the shards or one folder up, if there is one."""
    for path in (place / name for place in (folder, folder.parent) for name in CLASS_FILES):
        if path.exists():
            try:
                content = path.read_bytes()
            except OSError as error:
                raise ConfigurationError(f"{path}: cannot be read ({error})") from error
            return listed_classes(str(path), content)
    return None


def listed_classes(path: str, content: bytes) -> list[str]:
    """Returns the class names in a file of `CLASS_FILES`.

    Args:
        path: The file's name.
        content: What it holds.

    Raises:
        ConfigurationError: It is no list of names.
    """
    try:
        text = content.decode("utf-8")
        names = json.loads(text) if path.endswith(".json") else text.splitlines()
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: expected a list of class names ({error})") from error
    if not isinstance(names, list) or not all(
        isinstance(name, str) and is_unicode(name) for name in names
    ):
        raise ConfigurationError(f"{path}: expected a list of class names")
    return names


def write_shards(pictures: PictureSet, folder: Path, pictures_per_shard: int = 1000) -> None:
    """Writes pictures as they are into tar shards, with their classes in `classes.json`.

    The folder appears whole or not at all, and the same pictures give the same bytes.

    Raises:
        ConfigurationError: The folder exists.
    """
    if folder.exists():
        raise ConfigurationError(f"{folder} exists; remove it or write the shards elsewhere")
    with whole_folder(folder) as partial:
        (partial / "classes.json").write_text(json.dumps(pictures.classes), encoding="utf-8")
        for number, first in enumerate(range(0, len(pictures), pictures_per_shard)):
            with tarfile.open(partial / f"{number:06d}.tar", "w") as archive:
                for index in range(first, min(first + pictures_per_shard, len(pictures))):
                    name, label = pictures.name(index), int(pictures.labels[index])
                    add_sample(archive, index, name, pictures.read(index), label)
