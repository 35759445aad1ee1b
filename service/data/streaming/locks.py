"""Locks between the processes of a node, given back when their holder ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Waits until no other process is here.

    Args:
        path: The lock's file; made where it is missing.

    Raises:
        OSError: The file cannot be made, or its file system has no locks.
    """
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def if_nobody_else(path: Path) -> Iterator[int | None]:
    """Gives the lock's file descriptor, or nothing where another process is here.

    The lock is held until all processes that were given the descriptor have ended.

    Args:
        path: The lock's file; made where it is missing.

    Raises:
        OSError: The file cannot be made, or its file system has no locks.
    """
    descriptor = _opened(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
