"""Where it stands who drives a run: a file in its folder, or an object in its store.

Either shows when its driver last gave a sign of life, by the clock of the storage.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from service.storage.atomic import whole_file
from service.storage.object_store import NoSuchObjectError, ObjectStore
from service.storage.working_copy import place_of

FILE = "driver.json"
"""Name of the file, and of the object."""
BEAT = "driver.beat-"
"""Begins the names of the objects that are signs of life; the driver's token follows."""


class Mark(Protocol):
    """Where it stands who drives what."""

    @property
    def where(self) -> str:
        """What people have to delete to free a run."""

    def create(self, content: bytes) -> bool:
        """Writes it unless there is one; returns whether it did."""

    def replace(self, content: bytes) -> None:
        """Writes it over an older one."""

    def read(self) -> bytes | None:
        """Returns what it says; None if there is none."""

    def remove(self, token: str) -> None:
        """Deletes it, with the signs of life of its driver."""

    def beat(self, token: str) -> None:
        """Gives a sign of life."""

    def beaten_at(self) -> float | None:
        """Returns the time of the last sign of life, by the storage's clock; None without one."""

    def now(self) -> float:
        """Returns the time by the storage's clock."""


@dataclass(frozen=True)
class FileMark:
    """A file; its time is the last sign of life."""

    path: Path

    @property
    def where(self) -> str:
        """Path of the file."""
        return str(self.path)

    def create(self, content: bytes) -> bool:
        """Writes it unless there is one; returns whether it did."""
        try:
            with self.path.open("xb") as new:
                new.write(content)
        except FileExistsError:
            return False
        return True

    def replace(self, content: bytes) -> None:
        """Writes it over an older one."""
        with whole_file(self.path) as unfinished:
            unfinished.write_bytes(content)

    def read(self) -> bytes | None:
        """Returns what it says; None if there is none."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            # It is there, and says nothing now.
            return b""

    def remove(self, token: str) -> None:
        """Deletes it."""
        self.path.unlink(missing_ok=True)

    def beat(self, token: str) -> None:
        """Gives a sign of life."""
        os.utime(self.path)

    def beaten_at(self) -> float | None:
        """Returns the time of the file."""
        try:
            # Opened, because over a network what is known of a file that is not opened may be old.
            with self.path.open("rb") as opened:
                return os.fstat(opened.fileno()).st_mtime
        except FileNotFoundError:
            return None

    def now(self) -> float:
        """Returns the time that the storage gives a new file."""
        probe = self.path.with_name(f".{uuid4().hex}-{FILE}")
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()


@dataclass(frozen=True)
class ObjectMark:
    """An object; signs of life are objects of their own.

    A driver that was suspended between looking at the mark and giving its sign of life overwrites
    nothing that way.
    """

    store: ObjectStore
    folder: str
    """Name of the run's folder in the store."""

    @property
    def where(self) -> str:
        """Address of the object."""
        return f"{self.store.address}/{self._name}"

    @property
    def _name(self) -> str:
        return f"{self.folder}/{FILE}"

    def create(self, content: bytes) -> bool:
        """Writes it unless there is one; returns whether it did."""
        return self.store.create(self._name, content)

    def replace(self, content: bytes) -> None:
        """Writes it over an older one."""
        self.store.write(self._name, content)
        self.store.delete(self._beats())

    def read(self) -> bytes | None:
        """Returns what it says; None if there is none."""
        try:
            return self.store.read(self._name)
        except NoSuchObjectError:
            return None

    def remove(self, token: str) -> None:
        """Deletes it, with all signs of life."""
        self.store.delete([self._name, *self._beats()])

    def beat(self, token: str) -> None:
        """Gives a sign of life."""
        self.store.write(f"{self.folder}/{BEAT}{token}", b"")

    def beaten_at(self) -> float | None:
        """Returns the time of the mark, or of a later sign of life; None without a mark."""
        entries = self.store.entries(self.folder)
        if entries.get(FILE) is None:
            return None
        times = [one.modified for name, one in entries.items() if one and is_mark(name)]
        return max(times)

    def now(self) -> float:
        """Returns the time that the store gives a new object."""
        probe = f".{uuid4().hex}-{FILE}"
        self.store.write(f"{self.folder}/{probe}", b"")
        try:
            record = self.store.entries(self.folder).get(probe)
            return 0.0 if record is None else record.modified
        finally:
            self.store.delete([f"{self.folder}/{probe}"])

    def _beats(self) -> list[str]:
        names = self.store.entries(self.folder)
        return [f"{self.folder}/{name}" for name in names if name.startswith(BEAT)]


def mark_of(folder: Path) -> Mark:
    """Returns where it stands who drives what lies in a folder: what all machines see."""
    place = place_of(folder)
    return FileMark(folder / FILE) if place is None else ObjectMark(*place)


def is_mark(name: str) -> bool:
    """Tells whether a name in a run's folder is that of a mark or of a sign of life."""
    return name == FILE or name.startswith(BEAT)
