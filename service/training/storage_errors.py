"""What the storage refused, as Python reports it, whichever library was writing."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

_NUMBER = re.compile(r"I/O error: .*\(os error (\d+)\)")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turns errors of safetensors and torch that came from the storage into what they were.

    Raises:
        OSError: The storage refused something.
    """
    try:
        yield
    except SafetensorError as error:
        found = _NUMBER.search(str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number)) from error
    except RuntimeError as error:
        # torch fails again while it closes the archive that it could not write.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise
