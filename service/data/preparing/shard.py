"""One shard of prepared pictures: written, verified, and described."""

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path

from service.data.decoding import DamagedPictureError, decode
from service.data.patience import read_patiently
from service.data.pictures import PictureSet
from service.data.preparing.rewriting import rewritten
from service.data.shard_reading import read_shard
from service.data.shard_writing import add_sample
from service.storage.atomic import whole_file


@dataclass(frozen=True)
class Rewriting:
    """What is done to each picture."""

    short_side: int
    """Largest shorter side, pixels."""
    quality: int
    """Of the JPEGs."""
    skips: bool
    """Whether a picture that cannot be used is left out, or is an error."""


@dataclass(frozen=True)
class Part:
    """Pictures that become one shard."""

    split: str
    """`train` or `val`."""
    number: int
    """The shard's place in the split."""
    first: int
    """First picture in the split's source."""
    end: int
    """After the last one."""

    @property
    def name(self) -> str:
        """The shard's path below the output."""
        return f"{self.split}/{self.number:06d}.tar"


@dataclass(frozen=True)
class Written:
    """What a shard holds."""

    name: str
    """Its path below the output."""
    pictures: int
    """Pictures in it."""
    rewritten: int
    """Pictures of them that were made smaller."""
    source_size: int
    """Bytes of these pictures in the source."""
    size: int
    """Bytes of the shard."""
    sha256: str
    """Checksum of the shard."""
    skipped: dict[int, str]
    """Pictures of the source that cannot be used: where they stand, and one line that says why."""


def write_part(part: Part, source: PictureSet, output: Path, how: Rewriting) -> Written:
    """Writes a shard; it appears whole and verified or not at all.

    Raises:
        DamagedPictureError: A picture cannot be used and may not be skipped; names it.
        OSError: The shard cannot be written.
    """
    with whole_file(output / part.name) as partial:
        skipped: dict[int, str] = {}
        changed = source_size = 0
        with tarfile.open(partial, "w") as archive:
            for index in range(part.first, part.end):
                try:
                    before, after = _prepared(source, index, how)
                except DamagedPictureError as error:
                    if not how.skips:
                        raise
                    skipped[index] = str(error)
                    continue
                changed += after is not before
                source_size += len(before)
                name = source.name(index) if after is before else "x.jpg"
                add_sample(archive, index, name, after, int(source.labels[index]))
        kept = [index for index in range(part.first, part.end) if index not in skipped]
        _verify(partial, part, source, kept)
        content = partial.read_bytes()
    return Written(
        part.name,
        len(kept),
        changed,
        source_size,
        len(content),
        hashlib.sha256(content).hexdigest(),
        skipped,
    )


def _prepared(source: PictureSet, index: int, how: Rewriting) -> tuple[bytes, bytes]:
    """Returns a picture as it was and as it will be."""
    try:
        before = read_patiently(source.read, index)
        return before, rewritten(before, how.short_side, how.quality)
    except (OSError, DamagedPictureError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DamagedPictureError(
            f"{source.source}/{source.name(index)} cannot be used: {reason}"
        ) from error


def _verify(shard: Path, part: Part, source: PictureSet, kept: list[int]) -> None:
    """Reads a shard back.

    Raises:
        OSError: It holds other pictures or labels than were written, or one that does not decode.
    """
    entries = read_shard(shard, lambda: shard.open("rb"))
    found = [(int(Path(entry.member).stem), entry.label) for entry in entries]
    if found != list(zip(kept, source.labels[kept].tolist(), strict=True)):
        raise OSError(f"{part.name} holds other pictures than were written: is the storage sound?")
    with shard.open("rb") as file:
        for entry in entries:
            file.seek(entry.first)
            try:
                decode(file.read(entry.size))
            except DamagedPictureError as error:
                raise OSError(
                    f"{part.name}: {entry.member} does not decode after writing ({error}): is the "
                    "storage sound?"
                ) from error
