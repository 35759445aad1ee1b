"""An object as a file that is read here and there."""

import io
from collections.abc import Sequence
from typing import BinaryIO

from service.data.patience import StorageAwayError
from service.storage.object_store import (
    NoSuchObjectError,
    ObjectStore,
    ObjectStoreError,
    ShortObjectError,
)

_READ_AHEAD = 4 * 2**20
"""Bytes that are asked for at once: headers of pictures that are smaller lie close together."""


def open_object(store: ObjectStore, name: str, size: int) -> BinaryIO:
    """Opens an object for reading.

    Args:
        store: Where it is.
        name: Its name.
        size: Its size in bytes.
    """
    return io.BufferedReader(_Object(store, name, size), _READ_AHEAD)


class _Object(io.RawIOBase):
    """Reads parts of an object.

    A store that is away is no damage of the object: what looks for that catches `OSError` and not
    `StorageAwayError`.
    """

    def __init__(self, store: ObjectStore, name: str, size: int) -> None:
        self._store, self._name, self._size = store, name, size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer
        end = min(self._place + len(buffer), self._size)
        if end <= self._place:
            return 0
        (content,) = read_parts(self._store, [(self._name, self._place, end)])
        buffer[: len(content)] = content
        self._place = end
        return len(content)


def read_parts(store: ObjectStore, wanted: Sequence[tuple[str, int, int]]) -> Sequence[bytes]:
    """Returns parts of objects, as `ObjectStore.read_ranges` does.

    Raises:
        NoSuchObjectError: There is no such object.
        ShortObjectError: One ends before what was asked for.
        StorageAwayError: The store gives no answer, or refuses: that says nothing of the objects.
    """
    try:
        return store.read_ranges(wanted)
    except (NoSuchObjectError, ShortObjectError):
        raise
    except ObjectStoreError as error:
        raise StorageAwayError(str(error)) from error
