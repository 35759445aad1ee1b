"""Parts of objects by signed web addresses, for much less processor time than by a driver.

A driver such as s3fs checks, signs and wraps each request, which costs as much as decoding a
picture does. A signed address is made once for each shard, and the rest is plain HTTP.
"""

import http.client
import math
import os
import ssl
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from service.storage.object_store import ObjectStore, ObjectStoreError

_AT_ONCE = 16
_SECONDS_VALID = 3600
_SECONDS_USED = 1800.0
_TIMEOUT = 15.0
_PAUSE = 600.0

Part = tuple[str, int, int]
"""Name, first byte and byte after the last of a part of an object."""


class _Address(NamedTuple):
    """A signed address. It is a secret: whoever has it can read the object."""

    secure: bool
    host: str
    target: str
    used_until: float


class SignedReader:
    """Reads parts of objects of a store, as far as they come at once and without any trouble.

    What does not come is for the driver, which knows patience, proxies and reasons. Can be pickled,
    and used after a fork.

    Args:
        store: The objects.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._addresses: dict[str, _Address] = {}
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._useful_from = -math.inf

    def read(self, wanted: Sequence[Part]) -> list[bytes | None]:
        """Returns parts that are asked for at the same time; none for one that does not come."""
        if self._process != os.getpid():
            self._close()
            self._begin()
        if not wanted or time.monotonic() < self._useful_from:
            return [None] * len(wanted)
        addresses = [self._address(name) for name, _, _ in wanted]
        self._pool = self._pool or ThreadPoolExecutor(_AT_ONCE, "signed")
        return list(self._pool.map(self._part, addresses, wanted))

    def pause(self) -> None:
        """Leaves everything to the driver for a while, which fares better."""
        self._useful_from = max(self._useful_from, time.monotonic() + _PAUSE)

    def _address(self, name: str) -> _Address | None:
        """Returns the signed address of an object; none where the store makes none."""
        found = self._addresses.get(name)
        if found is None or found.used_until < time.monotonic():
            try:
                signed = self._store.signed(name, _SECONDS_VALID)
            except ObjectStoreError:
                return None
            parts = urlsplit(signed)
            # A connection that goes around a proxy would hang, or tell what it should not.
            if parts.scheme in getproxies() and not proxy_bypass(parts.netloc):
                return None
            if parts.scheme not in ("http", "https"):
                return None
            until = time.monotonic() + _SECONDS_USED
            target = f"{parts.path}?{parts.query}"
            found = _Address(parts.scheme == "https", parts.netloc, target, until)
            self._addresses[name] = found
        return found

    def _part(self, address: _Address | None, part: Part) -> bytes | None:
        if address is None:
            return None
        # A connection that was idle may have been closed by the other side.
        for _ in range(2):
            connection = self._connection(address)
            try:
                content = _asked(connection, address.target, part)
            except (OSError, http.client.HTTPException):
                connection.close()
                continue
            if content is None:
                connection.close()
            else:
                self._idle.append(connection)
            return content
        return None

    def _connection(self, address: _Address) -> http.client.HTTPConnection:
        """Returns an idle connection or a new one; all shards of a store are at one host."""
        try:
            return self._idle.pop()
        except IndexError:
            pass
        if address.secure:
            context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
            return http.client.HTTPSConnection(address.host, timeout=_TIMEOUT, context=context)
        return http.client.HTTPConnection(address.host, timeout=_TIMEOUT)

    def __reduce__(self) -> tuple[type["SignedReader"], tuple[ObjectStore]]:
        return SignedReader, (self._store,)

    def _close(self) -> None:
        for connection in self._idle:
            connection.close()

    def __del__(self) -> None:
        if self._pool is not None and self._process == os.getpid():
            self._pool.shutdown(wait=False)
        self._close()


def _asked(connection: http.client.HTTPConnection, target: str, part: Part) -> bytes | None:
    """Returns a part of an object; nothing for any other answer, which may be all of it."""
    _, first, end = part
    connection.request("GET", target, headers={"Range": f"bytes={first}-{end - 1}"})
    answer = connection.getresponse()
    if answer.status != http.client.PARTIAL_CONTENT or answer.length != end - first:
        return None
    return answer.read()
