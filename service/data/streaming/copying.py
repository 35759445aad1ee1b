"""The process that copies shards from an object store to a node.

It has a program of its own, because a network connection does not survive the forks of loading
processes and because the training process has better things to do.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from service.data.patience import StorageAwayError
from service.data.streaming.objects import read_parts
from service.storage.atomic import whole_file
from service.storage.object_store import NoSuchObjectError, ObjectStore, ShortObjectError

_PART = 8 * 2**20
_PARTS_AT_ONCE = 4
_LEFT_FREE = 2**30
"""Bytes of a disk that are left to others."""
_STORE_AWAY = 30.0
"""Seconds until a store that gives no answer is asked again."""
_NICENESS = 10


@dataclass(frozen=True)
class WantedShard:
    """A shard, and the file that is to hold it."""

    name: str
    """Below the address of the data set."""
    size: int
    """Bytes."""
    file: str
    """Name of the file."""


@dataclass(frozen=True)
class Plan:
    """What is to be copied."""

    address: str
    """Of the data set."""
    folder: Path
    """Where the files are; nothing else is there."""
    most: int
    """Bytes of all files together."""
    shards: tuple[WantedShard, ...]
    """The first ones first."""

    def to_json(self) -> str:
        """Returns the plan in one line."""
        return json.dumps(asdict(self) | {"folder": str(self.folder)})

    @classmethod
    def from_json(cls, line: str) -> "Plan":
        """Returns the plan of such a line."""
        found = json.loads(line)
        shards = tuple(WantedShard(**one) for one in found["shards"])
        return cls(found["address"], Path(found["folder"]), found["most"], shards)


def copy_shards(plan: Plan) -> None:
    """Copies shards until all are there or the bound is reached; nobody else does meanwhile.

    A file appears whole or not at all, under a name that tells the content. What is of shards that
    have changed, or was left by a process that was killed, is removed.

    Raises:
        OSError: The disk takes no more.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    there = _kept(plan)
    store = ObjectStore(plan.address)
    room = plan.most - sum(shard.size for shard in plan.shards if shard.file in there)
    for shard in plan.shards:
        if shard.file in there:
            continue
        if shard.size > room:
            return
        if shutil.disk_usage(plan.folder).free < shard.size + _LEFT_FREE:
            raise OSError(f"{plan.folder}: less than {_LEFT_FREE >> 30} GiB would be left free")
        if _is_copied(store, shard, plan.folder / shard.file):
            room -= shard.size


def _kept(plan: Plan) -> set[str]:
    """Returns the files that are there and whole; removes what is neither."""
    sizes = {shard.file: shard.size for shard in plan.shards}
    there = set()
    for entry in os.scandir(plan.folder):
        if entry.stat(follow_symlinks=False).st_size == sizes.get(entry.name):
            there.add(entry.name)
        else:
            os.unlink(entry.path)
    return there


def _is_copied(store: ObjectStore, shard: WantedShard, path: Path) -> bool:
    """Copies a shard; returns whether it is still as it was when training began."""
    try:
        with whole_file(path) as partial, partial.open("wb") as file:
            for content in _parts(store, shard):
                file.write(content)
            file.flush()
            # A name must not outlive its content when the machine fails.
            os.fsync(file.fileno())
    except (NoSuchObjectError, ShortObjectError):
        return False
    return True


def _parts(store: ObjectStore, shard: WantedShard) -> Iterator[bytes]:
    """Yields a shard's content, as patiently as it takes."""
    firsts = list(range(0, shard.size, _PART))
    for place in range(0, len(firsts), _PARTS_AT_ONCE):
        wanted = [
            (shard.name, first, min(first + _PART, shard.size))
            for first in firsts[place : place + _PARTS_AT_ONCE]
        ]
        yield from _patiently(store, wanted)


def _patiently(store: ObjectStore, wanted: list[tuple[str, int, int]]) -> Iterable[bytes]:
    while True:
        try:
            return read_parts(store, wanted)
        except StorageAwayError:
            # Training has its own opinion on when it takes too long.
            time.sleep(_STORE_AWAY)


def _end_with_the_caller() -> None:
    """Ends this process when the other end of its input is closed."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Copies what the plan in the first line of the input says, until the input ends."""
    os.nice(_NICENESS)
    plan = Plan.from_json(sys.stdin.readline())
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    try:
        copy_shards(plan)
    except OSError as error:
        print(
            f"warning: no more shards are kept on this node, the others are streamed: {error}",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    main()
