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
from service.data.shards import open_shards

UNFINISHED = ".preparing"
"""Folder below the root of prepared pictures until all of them are there."""


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
        case FolderDataConfig():
            return open_encoded(Path(config.root), cache)
        case ShardsDataConfig():
            return _shard_splits(Path(config.root))
        case SmallPicturesConfig():
            return _small_splits(config, cache)


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

        root = Path(config.root)
        files = [file for split in ("train", "test") for file in parquet_files(root, split)]
        return decoded_once(config.kind, files, cache, lambda: read_parquet(root))
    from service.data.published import find_published, read_published

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
