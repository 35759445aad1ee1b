"""The folder of all runs on this machine, whatever kind of storage a configuration names."""

from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from service.config.errors import ConfigurationError
from service.config.training import StorageConfig
from service.storage.address import checked_address
from service.storage.object_store import ObjectStore
from service.storage.working_copy import working_copy

_FIELD = "storage.path"


def storage_folder(storage: StorageConfig, base: Path) -> Path:
    """Returns the folder of all runs on this machine; for an address, that of its copies.

    Args:
        storage: The configuration.
        base: Where a relative path begins.

    Raises:
        ConfigurationError: The address is none, or its kind of store cannot be used here.
    """
    # An address without a bucket is no folder: see `checked_address`.
    if "://" not in storage.path:
        return (base / Path(storage.path).expanduser()).resolve()
    address = checked_address(_FIELD, storage.path)
    copies = Path(storage.working_folder).expanduser()
    try:
        return working_copy(address, (Path.home() / copies).resolve())
    except OSError as error:
        raise ConfigurationError(
            f"storage.working_folder: {error.filename}: {error.strerror}; name a folder of this "
            "machine that can be written"
        ) from error


def check_storage(storage: StorageConfig) -> None:
    """Writes, reads and deletes a small object, where runs lie in an object store.

    Raises:
        ConfigurationError: The store does not let this process do so.
    """
    if "://" in storage.path:
        _check(checked_address(_FIELD, storage.path))


@lru_cache
def _check(address: str) -> None:
    store, name, content = ObjectStore(address, patience=(1.0,)), f".probe-{uuid4().hex}", b"probe"
    try:
        store.write(name, content)
        found = store.read(name)
        store.delete([name])
    except OSError as error:
        reason = str(error).replace(f"/{name}", "")
        raise ConfigurationError(
            f"{_FIELD}: {reason}; see that the bucket exists, that it is reached "
            "(AWS_ENDPOINT_URL) and that this process may write there (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, a profile or a role)"
        ) from error
    if found != content:
        raise ConfigurationError(f"{_FIELD}: {address} does not give back what was written there")
