"""A file server that gives no answer is asked again; a missing file is not."""

import errno
import os

import pytest

from service.data import patience


class Storage:
    """Fails so many times, then answers."""

    def __init__(self, number: int, failures: int) -> None:
        self._number, self._failures = number, failures
        self.asked = 0

    def read(self, index: int) -> bytes:
        self.asked += 1
        if self.asked <= self._failures:
            raise OSError(self._number, os.strerror(self._number))
        return bytes([index])


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PATIENCE", (0.0, 0.0, 0.0))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_storage_that_comes_back(number: int) -> None:
    storage = Storage(number, failures=3)
    assert patience.read_patiently(storage.read, 7) == b"\x07"
    assert storage.asked == 4


@pytest.mark.parametrize(
    ("number", "asked", "kind"),
    [
        (errno.ESTALE, 4, patience.StorageAwayError),
        (errno.ETIMEDOUT, 4, patience.StorageAwayError),
        (errno.EIO, 4, OSError),  # perhaps this file alone
        (errno.ENOENT, 1, OSError),
    ],
)
def test_what_cannot_be_read_is_told(number: int, asked: int, kind: type[Exception]) -> None:
    """A picture may be skipped for an OSError; a storage that is away is none."""
    storage = Storage(number, failures=9)
    with pytest.raises(kind, match=os.strerror(number)) as caught:
        patience.read_patiently(storage.read, 7)
    assert isinstance(caught.value, OSError) == (kind is OSError)
    assert storage.asked == asked
