"""Writing pictures with their labels into tar shards."""

import io
import tarfile
from pathlib import PurePosixPath


def add_sample(archive: tarfile.TarFile, index: int, name: str, content: bytes, label: int) -> None:
    """Appends a picture and its label; equal content gives equal archives.

    Args:
        archive: Open for writing.
        index: Where the picture stands in its set; becomes its name.
        name: What the picture's file is called; its ending is kept.
        content: The encoded picture.
        label: Its class.
    """
    _add(archive, f"{index:08d}{PurePosixPath(name).suffix.lower()}", content)
    _add(archive, f"{index:08d}.cls", str(label).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Appends a file, dated 1970."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
