"""What every source of labelled pictures offers."""

import hashlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.data.decoded import DecodedPictures

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif")
"""Endings of the files that count as pictures, in lower case."""

_SIZES_IN_DIGEST = 1024


class PictureSet(Protocol):
    """Labelled pictures with random access. Can be pickled, and used after a fork."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each picture, (n,)."""

    @property
    def source(self) -> str:
        """The folder that the names are relative to."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> bytes:
        """Returns the encoded picture.

        Raises:
            OSError: The file cannot be read.
        """

    def name(self, index: int) -> str:
        """Returns the picture's path below `source`."""

    def size(self, index: int) -> int:
        """Returns the size of the encoded picture in bytes."""

    def update_with_names(self, content: hashlib.blake2b) -> None:
        """Hashes what, with the classes and the labels, tells all names from others."""


Pictures = PictureSet | DecodedPictures
"""A split of labelled pictures: encoded, or decoded and in memory. Both have `classes`, `labels`,
`source` and a length."""


def is_picture(name: str) -> bool:
    """Returns whether a file name is that of a picture; hidden files are not."""
    return name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")


def digest(pictures: Pictures) -> str:
    """Returns 32 hexadecimal digits that tell this set of pictures from others.

    Of pictures in memory they cover everything. Of encoded ones they cover the classes, all labels,
    all names, and the file sizes of 1024 pictures spread evenly over the set: asking a network file
    system for the sizes of all files of ImageNet takes minutes. No picture is read. Either keeps
    its digest where it is moved.
    """
    if isinstance(pictures, DecodedPictures):
        return pictures.digest()
    content = hashlib.blake2b(digest_size=16)
    for name in pictures.classes:
        content.update(name.encode(errors="surrogateescape") + b"\0")
    content.update(pictures.labels.astype("<i8").tobytes())
    pictures.update_with_names(content)
    count = min(len(pictures), _SIZES_IN_DIGEST)
    for index in np.linspace(0, len(pictures) - 1, count, dtype=np.int64).tolist():
        content.update(pictures.size(index).to_bytes(8, "little"))
    return content.hexdigest()
