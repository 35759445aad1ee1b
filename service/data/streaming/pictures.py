"""Pictures in the shards of an object store."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from service.data.shards import IndexedPictures
from service.data.streaming.copying import Plan
from service.data.streaming.kept_shards import KeptShards
from service.data.streaming.objects import read_parts
from service.data.streaming.signed import Part, SignedReader
from service.storage.object_store import NoSuchObjectError, ObjectStore, ShortObjectError


@dataclass(frozen=True, eq=False)
class StreamedPictures(IndexedPictures):
    """One split in the shards of an object store; a `PictureSet`.

    A picture is a part of a shard and is asked for alone, so the order of the pictures is that of
    any other source: nothing is shuffled within shards.
    """

    store: ObjectStore
    """The shards."""
    kept: KeptShards
    """Shards that are on this node."""
    plan: Plan
    """What is copied to this node while training goes on."""
    _reader: SignedReader = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Makes what reads; it connects when it is used."""
        object.__setattr__(self, "_reader", SignedReader(self.store))

    @property
    def source(self) -> str:
        """The address that the names are relative to."""
        return self.store.address

    def read(self, index: int) -> bytes:
        """Returns the picture's bytes.

        Raises:
            OSError: The shard is not there any more or has become shorter.
            StorageAwayError: The store gives no answer.
        """
        (content,) = self.read_together([index])
        if isinstance(content, OSError):
            raise content
        return content

    def read_together(self, indices: Sequence[int]) -> list[bytes | OSError]:
        """Returns pictures, and for one that cannot be read the reason.

        Those that are not on this node are asked for at the same time.

        Raises:
            StorageAwayError: The store gives no answer.
        """
        found: dict[int, bytes | OSError] = {}
        wanted: dict[int, Part] = {}
        for index in dict.fromkeys(indices):
            shard, first, size, _ = self.index.pictures[index].tolist()
            content = self.kept.read(shard, first, size)
            if content is None:
                wanted[index] = (self.index.shards[shard], first, first + size)
            else:
                found[index] = content
        found.update(zip(wanted, self._asked_for(list(wanted.values())), strict=True))
        return [found[index] for index in indices]

    def _asked_for(self, wanted: list[Part]) -> Iterator[bytes | OSError]:
        """Yields parts of shards."""
        parts = self._reader.read(wanted)
        left = [one for one, part in zip(wanted, parts, strict=True) if part is None]
        others = self._by_the_driver(left) if left else []
        if len(left) == len(wanted) and any(isinstance(part, bytes) for part in others):
            # A proxy, a firewall or a certificate is in the way, or the store was away.
            self._reader.pause()
        rest = iter(others)
        for part in parts:
            yield next(rest) if part is None else part

    def _by_the_driver(self, wanted: list[Part]) -> Sequence[bytes | OSError]:
        """Returns parts of shards; where one cannot be read it is found out which."""
        try:
            return read_parts(self.store, wanted)
        except (NoSuchObjectError, ShortObjectError) as error:
            if len(wanted) == 1:
                return [error]
        return [self._by_the_driver([part])[0] for part in wanted]
