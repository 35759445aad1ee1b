"""Many strings in two arrays, so that loading processes share them instead of copying objects."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PackedStrings:
    """A read-only list of strings.

    A list of a million Python strings is copied page by page into every forked process, because
    reading one changes its reference count. Arrays are not.
    """

    text: NDArray[np.uint8]
    """All strings, one after the other, in the file system's encoding."""
    ends: NDArray[np.int64]
    """Where each string ends in `text`."""

    @classmethod
    def pack(cls, strings: Iterable[str]) -> Self:
        """Packs strings in their order."""
        text = bytearray()
        ends = []
        for string in strings:
            text += os.fsencode(string)
            ends.append(len(text))
        return cls(np.frombuffer(bytes(text), np.uint8), np.array(ends, np.int64))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedStrings):
            return NotImplemented
        same_text = np.array_equal(self.text, other.text)
        return same_text and np.array_equal(self.ends, other.ends)

    def update(self, content: hashlib.blake2b) -> None:
        """Hashes all strings in their order."""
        content.update(self.text.data)
        content.update(self.ends.astype("<i8").data)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        start = self.ends[index - 1] if index else 0
        return os.fsdecode(self.text[start : self.ends[index]].tobytes())
