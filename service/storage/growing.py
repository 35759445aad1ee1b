"""Files that only grow, such as journals, in a store whose objects cannot grow.

A file is kept as objects that follow each other; each is named after the byte it begins at. The
last one is written anew until it is large enough: an object is replaced whole, so nothing is lost.
Of what several processes wrote, what follows from byte 0 without a gap counts.
"""

import os
from pathlib import Path

from service.storage.atomic import whole_file
from service.storage.object_store import ObjectStore

LARGEST = 2**18
"""Bytes from which an object is not written again."""

_OVERLAP = 2**12
_LONGEST_LINE = 2**16


class Growing:
    """Brings a file's new lines to a store; the file holds at least what the store has of it.

    Args:
        store: The store.
        name: The file's name there, of a folder of objects.
        path: The file.
    """

    def __init__(self, store: ObjectStore, name: str, path: Path) -> None:
        self._store = store
        self._name = name
        self._path = path
        self._begins, self._ends = -1, 0

    def push(self, end: int | None = None) -> None:
        """Brings the whole lines that the store lacks.

        Args:
            end: Byte up to which the file is looked at; None for all of it.

        Raises:
            OSError: The store does not take them.
        """
        if self._begins < 0:
            self._look()
        try:
            with self._path.open("rb") as file:
                file.seek(self._begins)
                content = file.read(-1 if end is None else max(0, end - self._begins))
        except FileNotFoundError:
            return
        content = content[: content.rfind(b"\n") + 1]
        if self._begins + len(content) <= self._ends:
            return
        self._store.write(_part(self._name, self._begins), content)
        self._ends = self._begins + len(content)
        if len(content) >= LARGEST:
            self._begins = self._ends

    def _look(self) -> None:
        parts = stored_parts(self._store, self._name)
        begins, size = parts[-1] if parts else (0, 0)
        self._ends = begins + size
        self._begins = begins if size < LARGEST else self._ends


def bring_lines(store: ObjectStore, name: str, path: Path) -> None:
    """Makes a file hold at least what the store has of it.

    One that holds more stays as it is; one that differs, because another machine went on, is
    replaced.

    Args:
        store: The store.
        name: The file's name there.
        path: The file.

    Raises:
        OSError: The store cannot be read, or the file cannot be written.
    """
    parts = stored_parts(store, name)
    end = sum(size for _, size in parts)
    own = _whole_lines(path)
    common = min(own, end)
    first = max(0, common - _OVERLAP)
    content = _read(store, name, parts, first, end)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with path.open("r+b") as file:
        file.seek(first)
        same = file.read(common - first) == content[: common - first]
        if same and own >= end:
            return
        if same:
            file.seek(own)
            file.write(content[common - first :])
            file.truncate()
            return
    with whole_file(path) as unfinished:
        unfinished.write_bytes(_read(store, name, parts, 0, first) + content)


def stored_parts(store: ObjectStore, name: str) -> list[tuple[int, int]]:
    """Returns first byte and size of the objects that make up a file.

    Raises:
        ObjectStoreError: The store gives no listing.
    """
    found, end = [], 0
    for part, record in store.list(name).items():
        begins = part.rpartition("/")[2]
        if record.size and begins.isdecimal() and int(begins) == end:
            found.append((end, record.size))
            end += record.size
    return found


def _part(name: str, begins: int) -> str:
    """Returns an object's name; names sort as the bytes follow."""
    return f"{name}/{begins:015d}"


def _read(
    store: ObjectStore, name: str, parts: list[tuple[int, int]], first: int, end: int
) -> bytes:
    wanted = [
        (_part(name, begins), max(0, first - begins), min(size, end - begins))
        for begins, size in parts
        if begins + size > first and begins < end
    ]
    return b"".join(store.read_ranges(wanted))


def _whole_lines(path: Path) -> int:
    """Returns the bytes of a file's whole lines."""
    try:
        with path.open("rb") as file:
            begins = max(0, file.seek(0, os.SEEK_END) - _LONGEST_LINE)
            file.seek(begins)
            return begins + file.read().rfind(b"\n") + 1
    except FileNotFoundError:
        return 0
