"""Starting without Python's garbage collector.

Imports make some hundred thousand objects that stay. The collector looks through all of them again
and again, which takes a fifth of the time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pauses the collector until the end, or until `resume_collection` was called."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def resume_collection() -> None:
    """Lets the collector work from now on; costs nothing where it does."""
    gc.enable()
