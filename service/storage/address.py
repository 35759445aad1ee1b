"""Addresses of object stores, such as `s3://bucket/runs`, as opposed to folders."""

import re
from importlib.util import find_spec

from service.config.errors import ConfigurationError
from service.config.redaction import holds_credentials
from service.config.showing import one_line

_SCHEME = re.compile(r"([a-z][a-z0-9+.\-]*)://(?!/)", re.IGNORECASE)
_SLASHES = re.compile(r"(?<!:)/{2,}")
# An address is turned into file and object names; a chain or a query would change what it means.
_MEANING_MORE = ("::", "?", "#", "/../", "/./")


def is_address(text: str) -> bool:
    """Returns whether a text is an address of an object store, and not a path."""
    return _SCHEME.match(text) is not None


def checked_address(field: str, text: str) -> str:
    """Returns an address in its plain form, without slashes at its end.

    Args:
        field: The configuration field that holds it, for messages.
        text: The address.

    Raises:
        ConfigurationError: It holds a password, names no bucket, or its kind of store is unknown or
            needs a package that is not installed.
    """
    if holds_credentials(text):
        raise ConfigurationError(
            f"{field}: {one_line(text)} holds credentials; give them by the environment or by the "
            "store's own configuration file"
        )
    plain = _SLASHES.sub("/", text).rstrip("/")
    if any(part in f"{plain}/" for part in _MEANING_MORE) or not plain.isprintable():
        raise ConfigurationError(
            f"{field}: {one_line(text)} is no plain address; expected one such as s3://bucket/runs"
        )
    if not is_address(text):
        raise ConfigurationError(
            f"{field}: {one_line(text)} names no bucket; expected an address such as "
            "s3://bucket/runs"
        )
    _check_kind(field, plain)
    return plain


def _check_kind(field: str, address: str) -> None:
    """Raises ConfigurationError for a kind of store that cannot be reached from here."""
    import fsspec  # a quarter of a second that runs in folders do not pay

    scheme = address.partition("://")[0].lower()
    if scheme in ("s3", "s3a") and find_spec("s3fs") is None:
        raise ConfigurationError(
            f"{field}: {address} needs the package s3fs; install this project with the extra s3"
        )
    try:
        fsspec.get_filesystem_class(scheme)
    except (ValueError, ImportError) as error:
        raise ConfigurationError(f"{field}: {address} cannot be used: {error}") from error
