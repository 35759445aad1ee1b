"""The byte index of shards in an object store: kept on this node, read from the store, or made."""

import hashlib
import io
import logging
import sys
import tarfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.config.errors import ConfigurationError
from service.data.packing import PackedStrings
from service.data.progress import ProgressLine
from service.data.saved_arrays import UNUSABLE
from service.data.shard_index import INDEX_FILE, ShardIndex, index_of
from service.data.shard_reading import ShardEntry, read_shard
from service.data.streaming.locks import one_at_a_time
from service.data.streaming.objects import open_object, read_parts
from service.storage.object_store import ObjectRecord, ObjectStore, ObjectStoreError

_AT_ONCE = 8
"""Shards whose headers are read at the same time."""
_QUIET_SECONDS = 30.0
_logger = logging.getLogger(__name__)


def open_stored_index(store: ObjectStore, kept: Path) -> ShardIndex:
    """Returns the index of the shards below an address.

    An index lies beside the shards if whoever copied them there copied it too. It has the files'
    times of change, which say nothing of the copies. So it is taken where the sizes agree and,
    in each shard, the last picture is where it says. What was taken or made is kept on this node
    with what the store says of each shard (S3's ETag), and is used while all of that is the same; a
    new index is also written to the store where that is permitted.

    Args:
        store: The shards of one split.
        kept: Folder on this node for the index.

    Raises:
        ConfigurationError: There are no shards, or one is damaged or not laid out as WebDataset
            has it.
        ObjectStoreError: The store cannot be listed.
        StorageAwayError: The store gives no answer.
    """
    objects = store.entries()
    shards = _Shards(
        store, {name: one for name, one in objects.items() if one is not None and _is_shard(name)}
    )
    if not shards.records:
        raise ConfigurationError(
            f"data.root: no *.tar objects in {store.address}; expected train/*.tar and val/*.tar "
            "below data.root, as pipelines/prepare.py writes them (is the address right?)"
        )
    with _alone(kept):
        if (index := shards.kept_index(kept / INDEX_FILE)) is not None:
            return index
        index = shards.stored_index() if INDEX_FILE in objects else None
        if index is None:
            index = shards.made_index()
            _write_to(store, index)
        _keep(index, kept / INDEX_FILE)
        return index


@dataclass(frozen=True)
class _Shards:
    """The shards of one split."""

    store: ObjectStore
    records: Mapping[str, ObjectRecord]
    """What the store says of each, sorted by name."""

    @property
    def stamps(self) -> NDArray[np.int64]:
        """As a `ShardIndex` has them, (k, 2)."""
        rows = [(one.size, _stamp(one)) for one in self.records.values()]
        return np.array(rows, np.int64)

    @property
    def names(self) -> PackedStrings:
        return PackedStrings.pack(self.records)

    def kept_index(self, path: Path) -> ShardIndex | None:
        """Returns the index of an earlier start, if the shards are still the same."""
        if not path.exists():
            return None
        try:
            index = ShardIndex.load(path)
        except UNUSABLE as error:
            _logger.warning("%s cannot be used and is made again: %s", path, error)
            return None
        same = index.shards == self.names and np.array_equal(index.stamps, self.stamps)
        return index if same else None

    def stored_index(self) -> ShardIndex | None:
        """Returns the index that lies beside the shards, if it fits them."""
        place = f"{self.store.address}/{INDEX_FILE}"
        try:
            index = ShardIndex.read(io.BytesIO(self.store.read(INDEX_FILE)))
        except UNUSABLE as error:
            if isinstance(error, ObjectStoreError):
                raise
            _logger.warning("%s cannot be used and is made again: %s", place, error)
            return None
        stamps = self.stamps
        fits = index.shards == self.names and np.array_equal(index.stamps[:, 0], stamps[:, 0])
        if fits and not np.array_equal(index.stamps, stamps):
            fits = self._headers_agree(index)
        if fits:
            return replace(index, stamps=stamps)
        _logger.warning("%s is of other shards and is made again", place)
        return None

    def _headers_agree(self, index: ShardIndex) -> bool:
        """Returns whether the last picture of each shard is where an index says."""
        numbers, first, sizes, _ = index.pictures.T
        last = np.flatnonzero(np.diff(numbers, append=-1))
        if (first[last] < tarfile.BLOCKSIZE).any():
            return False
        wanted = [
            (index.shards[int(numbers[at])], int(first[at]) - tarfile.BLOCKSIZE, int(first[at]))
            for at in last
        ]
        headers = read_parts(self.store, wanted)
        return all(
            _describes(header, index.members[int(at)], int(sizes[at]))
            for header, at in zip(headers, last, strict=True)
        )

    def made_index(self) -> ShardIndex:
        """Reads the headers of all shards, and so most of what is between them."""
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            content = self._counted(pool.map(self._entries, self.records))
            return index_of(self.names, self.stamps, content)
        finally:
            pool.shutdown(cancel_futures=True)

    def _entries(self, name: str) -> list[ShardEntry]:
        size = self.records[name].size
        return read_shard(
            f"{self.store.address}/{name}", lambda: open_object(self.store, name, size)
        )

    def _counted(self, found: Iterator[list[ShardEntry]]) -> Iterator[list[ShardEntry]]:
        """Yields what is found, and shows how far it is."""
        line, total = ProgressLine(sys.stderr, _QUIET_SECONDS), len(self.records)
        for done, entries in enumerate(found, 1):
            yield entries
            text = f"indexing {self.store.address}: {done}/{total} shards"
            line.show(done / total, partial(str, text))
        line.clear()


def _describes(header: bytes, member: str, size: int) -> bool:
    """Returns whether a tar header is that of a member; of a long name it holds the beginning."""
    try:
        found = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return found.size == size and member.startswith(found.name)


def _is_shard(name: str) -> bool:
    return name.endswith(".tar") and not name.startswith(".")


def _stamp(record: ObjectRecord) -> int:
    """Returns a number that changes with an object: of its tag, or of its time where it has none.

    A tag that is copied with the object keeps it.
    """
    text = record.tag or repr(record.modified)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Has one process of this node make the index, where that folder can be written."""
    with ExitStack() as stack:
        try:
            stack.enter_context(one_at_a_time(folder / "index.lock"))
        except OSError as error:
            _logger.info("%s cannot be locked: %s", folder, error)
        yield


def _keep(index: ShardIndex, path: Path) -> None:
    try:
        index.save(path)
    except OSError as error:
        _logger.info("the index %s is kept in memory: %s", path, error)


def _write_to(store: ObjectStore, index: ShardIndex) -> None:
    buffer = io.BytesIO()
    index.write(buffer)
    try:
        store.write(INDEX_FILE, buffer.getvalue())
    except ObjectStoreError as error:
        _logger.info("the index is not written to the store: %s", error)
