"""Shards of an object store that are kept on this node.

Every epoch reads every shard once, so whatever is kept saves the same, and nothing is ever given up
for another: the shard that was read longest ago is the next to be read.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from service.data.open_files import OpenFiles
from service.data.shard_index import ShardIndex


def kept_name(split: str, shard: str, size: int, stamp: int) -> str:
    """Returns the name of the file that holds a shard, another one when the shard changes.

    A shard's own name may be one that no file can have, so it is not used.
    """
    text = f"{split}\0{shard}\0{size}\0{stamp}"
    digest = hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16)
    return f"{digest.hexdigest()}.tar"


@dataclass(frozen=True)
class KeptShards:
    """What is on this node of a split's shards; others may add to it at any time."""

    paths: tuple[str, ...]
    """Where each shard is, or would be."""
    _files: OpenFiles = field(default_factory=OpenFiles, repr=False, compare=False)

    @classmethod
    def of(cls, folder: Path, split: str, index: ShardIndex) -> "KeptShards":
        """Returns what a folder holds of the shards of a split."""
        names = (
            kept_name(split, index.shards[number], *index.stamps[number].tolist())
            for number in range(len(index.shards))
        )
        return cls(tuple(str(folder / name) for name in names))

    def read(self, shard: int, first: int, size: int) -> bytes | None:
        """Returns a part of a shard, or nothing where it is not here."""
        try:
            content = self._files.read(self.paths[shard], first, size)
        except OSError:
            # It is not here yet, or the disk fails; the store has it.
            return None
        return content if len(content) == size else None
