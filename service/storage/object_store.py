"""Objects below an address such as `s3://bucket/runs`: read, written and listed, with patience.

fsspec and its drivers do the talking; for S3 that is s3fs, configured as all of Amazon's tools are
(`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `AWS_PROFILE`, roles).
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from service.config.showing import one_line
from service.storage.atomic import whole_file
from service.storage.store_drivers import is_beyond_the_end, may_pass, modified, options

PATIENCE = (0.5, 2.0, 8.0)
"""Seconds before each further attempt; the drivers of large stores try a few times of their own."""

T = TypeVar("T")


class ObjectStoreError(OSError):
    """What a store refused, in one line that names the address."""


class NoSuchObjectError(ObjectStoreError):
    """There is no such object."""


class ShortObjectError(ObjectStoreError):
    """An object ends before what was asked for."""


@dataclass(frozen=True)
class ObjectRecord:
    """What a listing says of an object."""

    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970 by the store's clock; 0 where it does not say."""
    tag: str = ""
    """What the store says of the content, such as S3's ETag; empty where it says nothing."""


@dataclass
class ObjectStore:
    """The objects below an address; names are relative to it and use slashes.

    It can be pickled, and is connected anew in each process that uses it.
    """

    address: str
    """Such as `s3://bucket/runs`, as `checked_address` returns it."""
    patience: Sequence[float] = PATIENCE
    """Seconds before each further attempt."""
    _connection: tuple[int, Any, str] | None = field(default=None, repr=False, compare=False)

    def below(self, name: str) -> "ObjectStore":
        """Returns the store of the objects below a name, by the same connection."""
        below = ObjectStore(f"{self.address}/{name}", self.patience)
        if self._connection is not None:
            process, filesystem, root = self._connection
            below._connection = process, filesystem, f"{root}/{name}"
        return below

    def list(self, prefix: str = "") -> dict[str, ObjectRecord]:
        """Returns all objects whose names begin with a folder's, by name, sorted.

        Args:
            prefix: A folder, without a slash at its end; empty for all.

        Raises:
            ObjectStoreError: The store gives no listing.
        """
        filesystem, root = self._connected()

        def find() -> dict[str, dict[str, Any]]:
            # What another process wrote since would be missing from a remembered listing.
            filesystem.invalidate_cache()
            found: dict[str, dict[str, Any]] = filesystem.find(self._path(prefix), detail=True)
            return found

        try:
            found = self._patiently(find, prefix)
        except NoSuchObjectError:
            return {}
        return {
            path.removeprefix(f"{root}/"): _record(entry)
            for path, entry in sorted(found.items())
            if entry["type"] == "file" and path.startswith(f"{root}/")
        }

    def entries(self, folder: str = "") -> dict[str, ObjectRecord | None]:
        """Returns what lies directly in a folder, by name; None stands for a folder in it.

        Args:
            folder: Without a slash at its end; empty for the top.

        Raises:
            ObjectStoreError: The store gives no listing.
        """
        filesystem, root = self._connected()

        def look() -> Iterable[dict[str, Any]]:
            filesystem.invalidate_cache()
            found: Iterable[dict[str, Any]] = filesystem.ls(self._path(folder), detail=True)
            return found

        try:
            found = self._patiently(look, folder)
        except NoSuchObjectError:
            return {}
        above = f"{root}/{folder}/" if folder else f"{root}/"
        listed = {
            entry["name"].rstrip("/").removeprefix(above): _record(entry)
            if entry["type"] == "file"
            else None
            for entry in found
        }
        # A folder's own name may be among them.
        return {name: one for name, one in sorted(listed.items()) if name and "/" not in name}

    def read(self, name: str) -> bytes:
        """Returns an object's bytes.

        Raises:
            NoSuchObjectError: There is no such object.
            ObjectStoreError: It cannot be read.
        """
        filesystem, _ = self._connected()
        content: bytes = self._patiently(lambda: filesystem.cat_file(self._path(name)), name)
        return content

    def read_ranges(self, wanted: Sequence[tuple[str, int, int]]) -> Sequence[bytes]:
        """Returns parts of objects, asked for at the same time.

        Args:
            wanted: Name, first byte and byte after the last of each part.

        Raises:
            NoSuchObjectError: There is no such object.
            ShortObjectError: One ends before what was asked for.
            ObjectStoreError: One cannot be read.
        """
        filesystem, _ = self._connected()
        paths = [self._path(name) for name, _, _ in wanted]
        starts, ends = [first for _, first, _ in wanted], [end for _, _, end in wanted]

        def read() -> Sequence[bytes]:
            parts: Sequence[bytes] = filesystem.cat_ranges(paths, starts, ends, on_error="raise")
            return parts

        parts = self._patiently(read, wanted[0][0] if wanted else "")
        for part, (name, first, end) in zip(parts, wanted, strict=True):
            if len(part) != end - first:
                raise ShortObjectError(f"{self.address}/{name}: ends before byte {end}")
        return parts

    def signed(self, name: str, seconds: int) -> str:
        """Returns a web address by which an object can be read for so long. It is a secret.

        Raises:
            ObjectStoreError: The store makes none.
        """
        filesystem, _ = self._connected()
        try:
            return str(filesystem.sign(self._path(name), expiration=seconds))
        except Exception as error:
            raise self._explained(error, name) from error

    def download(self, name: str, path: Path) -> None:
        """Copies an object to a file, which appears whole or not at all.

        Raises:
            NoSuchObjectError: There is no such object.
            OSError: It cannot be read, or the file cannot be written.
        """
        filesystem, _ = self._connected()
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            self._patiently(lambda: filesystem.get_file(self._path(name), str(partial)), name)

    def write(self, name: str, content: bytes) -> None:
        """Writes an object, over an older one.

        Raises:
            ObjectStoreError: The store does not take it.
        """
        filesystem, _ = self._connected()
        self._patiently(lambda: filesystem.pipe_file(self._path(name), content), name)

    def create(self, name: str, content: bytes) -> bool:
        """Writes an object unless there is one, and returns whether it did.

        A store that knows no conditional writes puts it over an older one.

        Raises:
            ObjectStoreError: The store does not take it.
        """
        filesystem, _ = self._connected()

        def create() -> bool:
            try:
                filesystem.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            return True

        return self._patiently(create, name)

    def upload(self, path: Path, name: str) -> None:
        """Copies a file to an object, over an older one.

        Raises:
            OSError: The store does not take it, or the file cannot be read.
        """
        filesystem, _ = self._connected()
        self._patiently(lambda: filesystem.put_file(str(path), self._path(name)), name)

    def delete(self, names: Iterable[str]) -> None:
        """Deletes objects; those that are gone already do not matter.

        Raises:
            ObjectStoreError: The store refuses.
        """
        filesystem, _ = self._connected()
        for name in names:
            # One by one: told of several, a driver asks first what each of them is.
            with suppress(NoSuchObjectError):
                self._patiently(partial(filesystem.rm_file, self._path(name)), name)

    def _path(self, name: str) -> str:
        _, root = self._connected()
        return f"{root}/{name}" if name else root

    def _connected(self) -> tuple[Any, str]:
        """Returns the driver and the path of the address; a forked process makes its own."""
        if self._connection is None or self._connection[0] != os.getpid():
            from fsspec.core import url_to_fs

            # What is remembered of a folder is what other processes have changed since.
            filesystem, root = url_to_fs(
                self.address,
                skip_instance_cache=True,
                use_listings_cache=False,
                **options(self.address),
            )
            self._connection = os.getpid(), filesystem, str(root).rstrip("/")
        return self._connection[1], self._connection[2]

    def _patiently(self, action: Callable[[], T], name: str) -> T:
        """Does something, again and again where the store fails for the moment."""
        for seconds in self.patience:
            try:
                return action()
            except (FileNotFoundError, PermissionError) as error:
                raise self._explained(error, name) from error
            except Exception as error:
                if not may_pass(error):
                    raise self._explained(error, name) from error
            time.sleep(seconds)
        try:
            return action()
        except Exception as error:
            raise self._explained(error, name) from error

    def _explained(self, error: Exception, name: str) -> Exception:
        kind = ObjectStoreError
        if isinstance(error, FileNotFoundError):
            kind = NoSuchObjectError
        elif is_beyond_the_end(error):
            kind = ShortObjectError
        place = f"{self.address}/{name}".rstrip("/")
        reason = one_line(" ".join(str(error).split()) or type(error).__name__)
        return kind(f"{place}: {reason}")

    def __getstate__(self) -> Mapping[str, object]:
        return {"address": self.address, "patience": self.patience, "_connection": None}


def _record(entry: Mapping[str, Any]) -> ObjectRecord:
    tag = str(entry.get("ETag") or "").strip('"')
    return ObjectRecord(int(entry["size"] or 0), modified(entry), tag)
