"""The headers of one tar shard: which pictures it holds, where they start and what they show."""

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, TypeVar

from service.config.errors import ConfigurationError
from service.config.showing import one_line
from service.data.pictures import PICTURE_SUFFIXES

_LONGEST_LABEL = 32  # bytes of a .cls file
MOST_CLASSES = 1_000_000
"""Labels from here on are damage: names are made for all below the largest."""
_BLOCK = 512  # bytes; tar aligns everything to it
_PLAIN_FILES = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
T = TypeVar("T")


class ShardEntry(NamedTuple):
    """A picture in a shard."""

    member: str
    """Its name in the archive; never used as a path."""
    first: int
    """Its first byte in the file."""
    size: int
    """Its size in bytes."""
    label: int
    """Its class, from 0 up."""


def read_shard(shard: Path | str, open_shard: Callable[[], BinaryIO]) -> list[ShardEntry]:
    """Returns the pictures of one shard with their labels, in the shard's order.

    Args:
        shard: What messages call it.
        open_shard: Opens it for reading, with random access.

    Raises:
        ConfigurationError: The shard is damaged, holds links or devices, or a picture and its
            `.cls` file do not pair up.
    """
    pictures: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, int] = {}
    try:
        with open_shard() as file:
            for member in _plain_files(file):
                key, suffix = _key_and_suffix(member.name)
                if suffix in PICTURE_SUFFIXES:
                    _put(pictures, key, member)
                elif suffix == ".cls":
                    _put(labels, key, _read_label(file, member))
        if unpaired := sorted(pictures.keys() ^ labels.keys()):
            lacks = ".cls file" if unpaired[0] in pictures else "picture"
            raise ConfigurationError(f"sample {unpaired[0]!r} has no {lacks}")
    except ConfigurationError as error:
        raise ConfigurationError(f"{shard}: {error}") from None
    except (tarfile.TarError, OSError, ValueError, LookupError, RecursionError) as error:
        # What `tarfile` raises for damaged headers, found by changing them.
        reason = one_line(" ".join(str(error).split()))
        raise ConfigurationError(f"{shard}: the shard is damaged ({reason})") from error
    return [
        ShardEntry(member.name, member.offset_data, member.size, labels[key])
        for key, member in pictures.items()
    ]


def _plain_files(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yields the files of an archive.

    `tarfile` takes a damaged header in the middle for the end of the archive, so the end is looked
    at here.

    Raises:
        ConfigurationError: There is a link or a device.
        tarfile.ReadError: The archive is truncated or damaged.
    """
    end = 0
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            if member.size < 0:
                # Followed, it would lead back to what was read.
                raise tarfile.ReadError(f"a file of {member.size} bytes")
            end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
            if member.type in _PLAIN_FILES and not member.issparse():
                yield member
            elif not member.isdir():
                raise ConfigurationError(
                    f"{member.name!r} is neither a plain file nor a folder; shards hold no links"
                )
    file.seek(end)
    if file.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError(f"neither a header nor the end of the archive at byte {end}")


def _put(table: dict[str, T], key: str, value: T) -> None:
    """Adds an entry; raises ConfigurationError for a second one of the same sample."""
    if key in table:
        raise ConfigurationError(f"sample {key!r} has two pictures or two labels")
    table[key] = value


def _key_and_suffix(name: str) -> tuple[str, str]:
    """Splits a member's name at the first dot of its last part, as WebDataset does."""
    path = PurePosixPath(name)
    stem, dot, suffix = path.name.partition(".")
    return f"{path.parent}/{stem}", dot + suffix.lower()


def _read_label(file: BinaryIO, member: tarfile.TarInfo) -> int:
    """Returns the number in a `.cls` file; raises ConfigurationError for anything else.

    Moves the file's position, which `tarfile` sets before each of its own reads.
    """
    file.seek(member.offset_data)
    text = file.read(min(member.size, _LONGEST_LABEL)).strip()
    if member.size > _LONGEST_LABEL or not text.isdigit() or int(text) >= MOST_CLASSES:
        raise ConfigurationError(
            f"{member.name!r} holds no label; expected a number from 0 to {MOST_CLASSES - 1}"
        )
    return int(text)
