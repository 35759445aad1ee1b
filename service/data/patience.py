"""Reading from a storage that may be away for a moment."""

import errno
import time
from collections.abc import Callable

_AWAY = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    }
)
_PATIENCE = (0.2, 1.0, 5.0, 15.0)  # seconds before each further attempt


def read_patiently(read: Callable[[int], bytes], index: int) -> bytes:
    """Reads a picture, again and again where the file server gives no answer.

    Args:
        read: Returns a picture's bytes by its index.
        index: The picture.

    Raises:
        OSError: The file cannot be read, or the storage stays away for 21 seconds.
    """
    for seconds in _PATIENCE:
        try:
            return read(index)
        except OSError as error:
            if error.errno not in _AWAY:
                raise
        time.sleep(seconds)
    return read(index)
