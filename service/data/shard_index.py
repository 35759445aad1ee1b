"""The byte index of tar shards: where each picture starts, how long it is and what its label is."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.config.errors import ConfigurationError
from service.data.packing import PackedStrings
from service.data.saved_arrays import UNUSABLE
from service.data.shard_reading import MOST_CLASSES, ShardEntry, read_shard
from service.storage.atomic import whole_file

INDEX_FILE = "index.npz"
"""Name of the saved index, beside the shards."""

_FORMAT = 1
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """Where n pictures stand in k shards."""

    shards: PackedStrings
    """File names of the shards, sorted, k of them."""
    stamps: NDArray[np.int64]
    """Size in bytes of each shard, and what changes with its content, (k, 2): the time of change in
    nanoseconds of a file; of an object what its store has in place of one."""
    members: PackedStrings
    """Name of each picture in its shard, n of them."""
    pictures: NDArray[np.int64]
    """Shard number, first byte, size in bytes and label of each picture, (n, 4)."""

    def save(self, path: Path) -> None:
        """Writes the index; the file appears whole or not at all."""
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            self.write(file)

    def write(self, file: BinaryIO) -> None:
        """Writes the index to an open file."""
        np.savez(
            file,
            format=np.array(_FORMAT),
            shard_text=self.shards.text,
            shard_ends=self.shards.ends,
            stamps=self.stamps,
            member_text=self.members.text,
            member_ends=self.members.ends,
            pictures=self.pictures,
        )

    @classmethod
    def load(cls, path: Path) -> "ShardIndex":
        """Reads a saved index.

        Raises:
            Exception: One of `UNUSABLE`: it is missing, damaged, of another format or points
                outside the shards.
        """
        # np.load given a path leaves a damaged file open.
        with path.open("rb") as file:
            return cls.read(file)

    @classmethod
    def read(cls, file: BinaryIO) -> "ShardIndex":
        """Reads a saved index from an open file; raises as `load` does."""
        with np.load(file, allow_pickle=False) as saved:
            if saved["format"] != _FORMAT:
                raise ValueError(f"it has format {saved['format']}, not {_FORMAT}")
            index = cls(
                PackedStrings(saved["shard_text"], saved["shard_ends"]),
                saved["stamps"],
                PackedStrings(saved["member_text"], saved["member_ends"]),
                saved["pictures"],
            )
        if len(index.members) != len(index.pictures) or len(index.shards) != len(index.stamps):
            raise ValueError("its parts differ in length")
        shard, first, size, labels = index.pictures.T
        # Numbers that add up to a number too large would look small.
        ends = first.astype(np.float64) + size
        if (index.pictures < 0).any() or (ends > index.stamps[shard, 0]).any():
            raise ValueError("it points outside the shards")
        if (labels >= MOST_CLASSES).any():
            raise ValueError("it has labels that no shard can hold")
        return index


def open_index(folder: Path) -> ShardIndex:
    """Returns the index of a folder's shards: the saved one where the shards are unchanged.

    A new index is saved beside the shards; where that is not possible it stays in memory.

    Raises:
        ConfigurationError: There are no shards, or one is damaged or not laid out as WebDataset
            has it.
    """
    shards, stamps = _list_shards(folder)
    names = PackedStrings.pack(shard.name for shard in shards)
    path = folder / INDEX_FILE
    if (saved := _saved_index(path)) is not None:
        if saved.shards == names and np.array_equal(saved.stamps, stamps):
            return saved
        _logger.info("the shards in %s have changed: indexing them again", folder)
    content = (read_shard(shard, partial(_opened, shard)) for shard in shards)
    index = index_of(names, stamps, content)
    try:
        index.save(path)
    except OSError as error:
        _logger.info("the index of %s is kept in memory: %s", folder, error)
    return index


def _opened(shard: Path) -> BinaryIO:
    return shard.open("rb")


def _list_shards(folder: Path) -> tuple[list[Path], NDArray[np.int64]]:
    """Returns the sorted shards with their stamps; raises ConfigurationError without any."""
    try:
        shards = sorted(folder.glob("[!.]*.tar")) if folder.is_dir() else []
        statuses = [shard.stat() for shard in shards]
    except OSError as error:
        raise ConfigurationError(f"data.root: cannot list {folder} ({error})") from error
    if not shards:
        raise ConfigurationError(
            f"data.root: no *.tar files in {folder}; "
            "expected train/*.tar and val/*.tar under data.root"
        )
    stamps = [(status.st_size, status.st_mtime_ns) for status in statuses]
    return shards, np.array(stamps, np.int64)


def _saved_index(path: Path) -> ShardIndex | None:
    """Returns the saved index, or nothing where there is none that can be used."""
    if not path.exists():
        return None
    try:
        return ShardIndex.load(path)
    except UNUSABLE as error:
        _logger.warning("%s cannot be used and is made again: %s", path, error)
        return None


def index_of(
    names: PackedStrings, stamps: NDArray[np.int64], shards: Iterable[Sequence[ShardEntry]]
) -> ShardIndex:
    """Returns the index of shards by what each holds.

    Args:
        names: File names of the shards.
        stamps: As the index has them, (k, 2).
        shards: The pictures of each shard.
    """
    pictures: list[tuple[int, int, int, int]] = []

    def members() -> Iterator[str]:
        for number, entries in enumerate(shards):
            for entry in entries:
                pictures.append((number, entry.first, entry.size, entry.label))
                yield entry.member

    packed = PackedStrings.pack(members())
    return ShardIndex(names, stamps, packed, np.array(pictures, np.int64).reshape(-1, 4))
