"""Reading from a storage that may be away for a moment."""

import errno
import time
from collections.abc import Callable

from service.data.supervision import LoadingError

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
_AMBIGUOUS = frozenset({errno.EIO})
"""Also what a disk says of a file that it can no longer read."""
_PATIENCE = (0.2, 1.0, 5.0, 15.0)  # seconds before each further attempt


class StorageAwayError(LoadingError):
    """A storage gives no answer, or refuses: no picture is damaged, and none may be skipped.

    The run goes on from its last checkpoint when the workers are started again.
    """


def read_patiently(read: Callable[[int], bytes], index: int) -> bytes:
    """Reads a picture, again and again where the file server gives no answer.

    Args:
        read: Returns a picture's bytes by its index.
        index: The picture.

    Raises:
        OSError: The file cannot be read.
        StorageAwayError: The file server stays away for 21 seconds.
    """
    for seconds in _PATIENCE:
        try:
            return read(index)
        except OSError as error:
            if error.errno not in _AWAY:
                raise
        time.sleep(seconds)
    try:
        return read(index)
    except OSError as error:
        if error.errno not in _AWAY or error.errno in _AMBIGUOUS:
            raise
        raise StorageAwayError(f"the storage of the pictures is away: {error}") from error
