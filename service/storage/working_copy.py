"""Folders that are a machine's copy of what lies in an object store.

A run whose storage is an address such as `s3://bucket/runs` has a folder on each machine that works
on it, like any other run. A file at the top of the copies tells which address they are of, so that
whoever has a path in one of them finds the object that it stands for. The store is the truth; a
copy may lack files and may be deleted.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from service.config.errors import ConfigurationError
from service.storage.atomic import whole_file
from service.storage.object_store import NoSuchObjectError, ObjectStore, ObjectStoreError

_MARK = ".object-store"
_LOCK = ".lock"
_AT_ONCE = 16


class Place(NamedTuple):
    """What a path in a copy stands for."""

    store: ObjectStore
    """The store whose copy it lies in."""
    name: str
    """Its name there; empty for the top."""


def working_copy(address: str, parent: Path) -> Path:
    """Returns the folder for the copies of what lies below an address; it is made if need be.

    Args:
        address: As `checked_address` returns it.
        parent: Folder of such folders.
    """
    # Without the digest, s3://a/b-c and s3://a-b/c would share a folder.
    digest = hashlib.blake2b(address.encode(), digest_size=4).hexdigest()
    folder = parent / f"{address.replace('://', '-').replace('/', '-')}-{digest}"
    mark = folder / _MARK
    if not mark.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(mark) as unfinished:
            unfinished.write_text(address, encoding="utf-8")
    return folder


def place_of(path: Path) -> Place | None:
    """Returns what a path stands for; None if it lies in no copy."""
    path = Path(os.path.abspath(path))
    for folder in (path, *path.parents):
        try:
            address = (folder / _MARK).read_text("utf-8")
        except OSError:
            continue
        return Place(_store(address), "/".join(path.relative_to(folder).parts))
    return None


def address_of(path: Path) -> str | None:
    """Returns the address that a path in a copy stands for; None for any other path."""
    place = place_of(path)
    return None if place is None else f"{place.store.address}/{place.name}".rstrip("/")


def told(path: Path) -> str:
    """Returns what people are told of a path: where others find it, too."""
    return address_of(path) or str(path)


def publish(path: Path) -> None:
    """Brings a file of a copy to its store; a file elsewhere is where it belongs.

    Raises:
        OSError: The store does not take it.
    """
    place = place_of(path)
    if place is not None:
        place.store.write(place.name, path.read_bytes())


def publish_all(path: Path) -> None:
    """Brings a file of a copy, or all files of a folder, to its store, unless they are there.

    Raises:
        OSError: The store does not take them.
    """
    place = place_of(path)
    if place is None:
        return
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    known = place.store.list(place.name)
    for file in files:
        below = file.relative_to(path).as_posix()
        name = place.name if below == "." else f"{place.name}/{below}"
        if name not in known or known[name].size != file.stat().st_size:
            place.store.upload(file, name)


def withdraw(path: Path) -> None:
    """Deletes a file, and its object where it is one of a copy; it need not be there.

    Raises:
        OSError: The store refuses.
    """
    path.unlink(missing_ok=True)
    place = place_of(path)
    if place is not None:
        place.store.delete([place.name])


def bring(path: Path) -> None:
    """Makes a file of a copy what its object is now; it is deleted if there is none.

    Raises:
        OSError: The store cannot be read.
    """
    place = place_of(path)
    if place is None:
        return
    try:
        place.store.download(place.name, path)
    except NoSuchObjectError:
        path.unlink(missing_ok=True)


def bring_all(path: Path) -> None:
    """Copies a file, or all files of a folder, that a copy lacks or has in another size.

    Raises:
        OSError: The store cannot be read.
    """
    place = place_of(path)
    if place is None:
        return
    with alone(path.parent):
        for name, record in place.store.list(place.name).items():
            file = path if name == place.name else path / name.removeprefix(f"{place.name}/")
            if ".." in file.parts:
                continue  # what a store calls an object is no way out of the copy
            if not (file.is_file() and file.stat().st_size == record.size):
                place.store.download(name, file)


def bring_each(folder: Path, name: str) -> None:
    """Brings the file of a name out of each folder in a folder of a copy, with the store's time.

    A folder without such an object has no such file afterwards.

    Raises:
        OSError: The store cannot be read.
    """
    place = place_of(folder)
    if place is None:
        return
    below = f"{place.name}/" if place.name else ""
    found = [one for one, record in place.store.entries(place.name).items() if record is None]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(
            threads.map(
                lambda one: _bring_named(place.store, f"{below}{one}", name, folder / one), found
            )
        )
    for file in folder.glob(f"*/{name}"):
        if file.parent.name not in found:
            file.unlink()


@contextmanager
def store_answering() -> Iterator[None]:
    """Turns what an object store refuses inside into what a user reads.

    Raises:
        ConfigurationError: The store refuses something.
    """
    try:
        yield
    except ObjectStoreError as error:
        raise ConfigurationError(f"storage.path: {error}") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps other processes of this machine, which do the same, away from a folder of a copy."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _bring_named(store: ObjectStore, above: str, name: str, folder: Path) -> None:
    record = store.entries(above).get(name)
    if record is None:
        (folder / name).unlink(missing_ok=True)
        return
    store.download(f"{above}/{name}", folder / name)
    os.utime(folder / name, (record.modified, record.modified))


@lru_cache
def _store(address: str) -> ObjectStore:
    """Returns the store of an address: one for each process, which keeps its connections."""
    return ObjectStore(address)
