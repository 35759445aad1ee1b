"""The two splits of a data set, from its configuration."""

from dataclasses import dataclass
from pathlib import Path

from service.config.data import DataConfig, DrawnDataConfig, FolderDataConfig, ShardsDataConfig
from service.config.errors import ConfigurationError
from service.config.small_data import ParquetDataConfig, SmallDataConfig, SmallPicturesConfig
from service.data.decoded import balanced_subset
from service.data.decoded_cache import DecodedSplits, decoded_once
from service.data.drawing.tree import draw_pictures, drawn_root
from service.data.folder_index import listed_once
from service.data.pictures import Pictures, PictureSet
from service.data.shards import UNFINISHED, open_shards
from service.storage.address import is_address


@dataclass(frozen=True)
class Splits:
    """Training and evaluation pictures with the same classes."""

    train: Pictures
    """Training pictures; the class list and the label order come from them."""
    evaluation: Pictures
    """Evaluation pictures; some classes may be missing."""


@dataclass(frozen=True)
class EncodedSplits(Splits):
    """Splits whose pictures are files."""

    train: PictureSet
    evaluation: PictureSet


def open_splits(config: DataConfig | SmallDataConfig, cache: Path) -> Splits:
    """Opens the pictures that the configuration names.

    Args:
        config: The data set.
        cache: Folder where drawn and decoded pictures are kept; made where it is missing.

    Raises:
        ConfigurationError: The data set is missing, empty or damaged, or evaluation has a class
            that training lacks.
    """
    match config:
        case DrawnDataConfig():
            root = drawn_root(cache, config)
            draw_pictures(root, config)
            return open_encoded(root, cache)
        case FolderDataConfig() | ShardsDataConfig():
            return _rooted_splits(config, cache)
        case SmallPicturesConfig():
            return _small_splits(config, cache)


def _rooted_splits(config: FolderDataConfig | ShardsDataConfig, cache: Path) -> EncodedSplits:
    if is_address(config.root):
        # fsspec and its drivers take a while to import.
        from service.data.streaming.opening import open_streamed

        return EncodedSplits(*open_streamed(config, cache))
    if config.cache_gib:
        raise ConfigurationError(
            f"data.cache_gib: {config.root} is a folder, of which nothing is kept elsewhere; "
            "leave it at 0, or give data.root as an address such as s3://bucket/imagenet"
        )
    root = Path(config.root)
    return open_encoded(root, cache) if config.kind == "folder" else _shard_splits(root)


def _small_splits(config: SmallDataConfig, cache: Path) -> Splits:
    train, evaluation = _decoded_splits(config, cache)
    if config.train_pictures is not None:
        train = balanced_subset(train, config.train_pictures, config.subset_seed)
    return Splits(train, evaluation)


def _decoded_splits(config: SmallDataConfig, cache: Path) -> DecodedSplits:
    """Returns all pictures of a small set, decoded in this process or an earlier one."""
    # Either imports libraries that other sets do without: Arrow, torch, torchvision.
    if isinstance(config, ParquetDataConfig):
        from service.data.parquet import parquet_files, read_parquet

        if is_address(config.root):
            from service.data.streaming.parquet import open_stored_parquet

            return open_stored_parquet(config, cache)
        root = Path(config.root)
        files = [file for split in ("train", "test") for file in parquet_files(root, split)]
        return decoded_once(config.kind, files, cache, lambda: read_parquet(root))
    from service.data.published import find_published, read_published

    if is_address(config.root):
        raise ConfigurationError(
            f"data.root: data.kind={config.kind} is read from a folder; from an object store "
            "data.kind=parquet is"
        )
    published = find_published(config)
    return decoded_once(config.kind, published.files, cache, lambda: read_published(published))


def open_encoded(root: Path, cache: Path) -> EncodedSplits:
    """Opens folders of classes, or tar shards where `train/` holds those.

    Args:
        root: Folder that holds `train/` and `val/`.
        cache: Folder where an index of the folders is kept; made where it is missing.

    Raises:
        ConfigurationError: As from `open_splits`.
    """
    if any((root / "train").glob("[!.]*.tar")):
        return _shard_splits(root)
    train = listed_once(root / "train", cache)
    return EncodedSplits(train, listed_once(root / "val", cache, train.classes))


def _shard_splits(root: Path) -> EncodedSplits:
    if (root / UNFINISHED).exists():
        raise ConfigurationError(
            f"data.root: {root} is an unfinished preparation; call pipelines/prepare.py as before "
            "to finish it"
        )
    train = open_shards(root / "train")
    return EncodedSplits(train, open_shards(root / "val", train.classes))
