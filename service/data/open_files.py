"""Files that are read in many places, one after the other."""

import os
from collections import OrderedDict

MOST_OPEN = 256
"""Files that are open at the same time."""


class OpenFiles:
    """Open files by path, the least recently used ones closed.

    Positional reads share no position, so they stay good in a forked process.
    """

    def __init__(self) -> None:
        self._descriptors: OrderedDict[str, int] = OrderedDict()

    def read(self, path: str, first: int, size: int) -> bytes:
        """Returns `size` bytes from byte `first` on, fewer where the file ends.

        Raises:
            OSError: It cannot be read.
        """
        if path not in self._descriptors:
            if len(self._descriptors) >= MOST_OPEN:
                os.close(self._descriptors.popitem(last=False)[1])
            self._descriptors[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._descriptors.move_to_end(path)
        return os.pread(self._descriptors[path], size, first)

    def __reduce__(self) -> tuple[type["OpenFiles"], tuple[()]]:
        return OpenFiles, ()

    def __del__(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
