"""The two splits of a data set in an object store."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.config.data import FolderDataConfig, ShardsDataConfig
from service.config.errors import ConfigurationError
from service.data.patience import StorageAwayError
from service.data.shard_index import INDEX_FILE, ShardIndex
from service.data.shards import CLASS_FILES, UNFINISHED, class_names, listed_classes
from service.data.streaming.copying import Plan, WantedShard
from service.data.streaming.index import open_stored_index
from service.data.streaming.kept_shards import KeptShards, kept_name
from service.data.streaming.pictures import StreamedPictures
from service.storage.address import checked_address
from service.storage.object_store import NoSuchObjectError, ObjectStore, ObjectStoreError

PATIENCE = (0.5, 2.0, 8.0, 15.0, 30.0)
"""Seconds before each further attempt to read pictures; with what s3fs tries of its own, about two
minutes, and less than `data.loading_timeout`."""


def place_of(cache: Path, address: str) -> Path:
    """Returns the folder of a cache for what is kept of an address."""
    digest = hashlib.blake2b(address.encode(), digest_size=8).hexdigest()
    return cache / f"stored-{digest}"


def open_streamed(
    config: FolderDataConfig | ShardsDataConfig, cache: Path
) -> tuple[StreamedPictures, StreamedPictures]:
    """Opens the training and the evaluation pictures in the shards below an address.

    Args:
        config: The data set.
        cache: Folder for what is kept, unless the configuration names another.

    Raises:
        ConfigurationError: The store cannot be used, or holds no shards that can be.
    """
    address = checked_address("data.root", config.root)
    kept = place_of(Path(config.cache_folder or cache), address)
    # A store that has answered before is waited for: workers that start again after an outage do.
    known = (kept / "train" / INDEX_FILE).exists()
    store = ObjectStore(address, PATIENCE) if known else ObjectStore(address)
    try:
        return _opened(store, kept, int(config.cache_gib * 2**30))
    except (ObjectStoreError, StorageAwayError) as error:
        raise ConfigurationError(f"data.root: {error}") from error


def _opened(store: ObjectStore, kept: Path, most: int) -> tuple[StreamedPictures, StreamedPictures]:
    train = open_stored_index(store.below("train"), kept / "train")
    if store.entries(UNFINISHED):
        raise ConfigurationError(
            f"data.root: {store.address} is a copy of an unfinished preparation; finish it by "
            "calling pipelines/prepare.py as before, then copy it again"
        )
    evaluation = open_stored_index(store.below("val"), kept / "val")
    classes = class_names(train, f"{store.address}/train", _stored_classes(store, "train"))
    class_names(evaluation, f"{store.address}/val", classes)
    indices = {"train": train, "val": evaluation}
    plan = Plan(store.address, kept / "shards", most, tuple(_wanted(indices)))
    return (
        _split(store.address, "train", classes, train, plan),
        _split(store.address, "val", classes, evaluation, plan),
    )


def _split(
    address: str, split: str, classes: tuple[str, ...], index: ShardIndex, plan: Plan
) -> StreamedPictures:
    # A store that is not connected: loading processes are forked, and connections are not.
    store = ObjectStore(f"{address}/{split}", PATIENCE)
    kept = KeptShards.of(plan.folder, split, index)
    return StreamedPictures(classes, index, store, kept, plan)


def _wanted(indices: Mapping[str, ShardIndex]) -> Iterator[WantedShard]:
    for split, index in indices.items():
        for number in range(len(index.shards)):
            name, (size, stamp) = index.shards[number], index.stamps[number].tolist()
            yield WantedShard(f"{split}/{name}", size, kept_name(split, name, size, stamp))


def _stored_classes(store: ObjectStore, split: str) -> list[str] | None:
    """Returns the class names from an object beside the shards or one level up, if there is one."""
    for name in (f"{folder}{name}" for folder in (f"{split}/", "") for name in CLASS_FILES):
        try:
            return listed_classes(f"{store.address}/{name}", store.read(name))
        except NoSuchObjectError:
            continue
    return None
