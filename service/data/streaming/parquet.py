"""Parquet files of an object store, copied to this node once."""

import fnmatch
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from service.config.errors import ConfigurationError
from service.config.small_data import ParquetDataConfig
from service.data.decoded_cache import DecodedSplits, decoded_once
from service.data.parquet import parquet_files, read_parquet
from service.data.streaming.locks import one_at_a_time
from service.data.streaming.opening import place_of
from service.storage.address import checked_address
from service.storage.atomic import whole_folder
from service.storage.object_store import ObjectRecord, ObjectStore

_PATTERNS = ("train-*.parquet", "test-*.parquet")


def open_stored_parquet(config: ParquetDataConfig, cache: Path) -> DecodedSplits:
    """Returns the decoded pictures of Parquet files below an address.

    Args:
        config: The data set.
        cache: Folder for the files and what is decoded, unless the configuration names another.

    Raises:
        ConfigurationError: The store cannot be used, a file is missing or damaged, or the cache
            cannot be written.
    """
    address = checked_address("data.root", config.root)
    cache = Path(config.cache_folder or cache)
    try:
        root = _copied(ObjectStore(address), place_of(cache, address))
    except OSError as error:
        raise ConfigurationError(f"data.root: {address} cannot be copied: {error}") from error
    files = [file for split in ("train", "test") for file in parquet_files(root, split)]
    train, evaluation = decoded_once(config.kind, files, cache, lambda: read_parquet(root))
    return (
        replace(train, source=f"{address}/train-*.parquet"),
        replace(evaluation, source=f"{address}/test-*.parquet"),
    )


def _copied(store: ObjectStore, kept: Path) -> Path:
    """Returns a folder with the files as the store has them now; one process copies for all."""
    objects = store.entries().items()
    wanted = {name: one for name, one in objects if one is not None and _is_wanted(name)}
    for pattern in _PATTERNS:
        if not fnmatch.filter(wanted, pattern):
            raise ConfigurationError(
                f"data.root: no {pattern} below {store.address}; expected files such as those of "
                "the data set uoft-cs/cifar10"
            )
    folder = kept / f"parquet-{_digest(wanted)}"
    with one_at_a_time(kept / "parquet.lock"):
        if not folder.is_dir():
            with whole_folder(folder) as partial:
                for name in wanted:
                    store.download(name, partial / name)
    return folder


def _is_wanted(name: str) -> bool:
    return name.isprintable() and any(fnmatch.fnmatchcase(name, pattern) for pattern in _PATTERNS)


def _digest(objects: Mapping[str, ObjectRecord]) -> str:
    """Returns 16 hexadecimal digits that change when an object does."""
    content = hashlib.blake2b(digest_size=8)
    for name, one in objects.items():
        content.update(f"{name}\0{one.size}\0{one.tag or one.modified}\0".encode())
    return content.hexdigest()
