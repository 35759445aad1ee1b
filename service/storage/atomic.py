"""Files and folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Gives a new folder beside `target` to fill, and renames it to `target` at the end.

    Of several processes that make the same folder, the first to finish wins and the others discard
    theirs. After an error nothing is left.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(target)
    partial.mkdir()
    try:
        yield partial
        try:
            partial.rename(target)
        except OSError:
            # Somebody else made it meanwhile; any other reason is the caller's to know.
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Gives a path beside `target` to write, and renames it over `target` at the end.

    After an error nothing is left and an older file stays as it was.
    """
    partial = _beside(target)
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Gives a path beside `target` to write, and makes it `target` unless there is one by then.

    Of several processes that make the same file, the first to finish wins and the others discard
    theirs. After an error nothing is left.
    """
    partial = _beside(target)
    try:
        yield partial
        try:
            os.link(partial, target)
        except FileExistsError:
            pass
        except OSError:
            # A file system without links.
            if not target.exists():
                partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    """Returns an unused hidden path in the target's folder, with the same ending."""
    return target.with_name(f".{os.getpid()}-{uuid4().hex}-{target.name}")
