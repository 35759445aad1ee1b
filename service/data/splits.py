"""The two splits of a data set, from its configuration."""

from dataclasses import dataclass
from pathlib import Path

from service.config.data import DataConfig, DrawnDataConfig, FolderDataConfig, ShardsDataConfig
from service.config.small_data import ParquetDataConfig, SmallDataConfig, SmallPicturesConfig
from service.data.decoded import balanced_subset
from service.data.decoded_cache import DecodedSplits, decoded_once
from service.data.drawing.tree import draw_pictures, drawn_root
from service.data.folder import list_folder
from service.data.parquet import parquet_files, read_parquet
from service.data.pictures import Pictures
from service.data.published import find_published, read_published
from service.data.shards import open_shards


@dataclass(frozen=True)
class Splits:
    """Training and evaluation pictures with the same classes."""

    train: Pictures
    """Training pictures; the class list and the label order come from them."""
    evaluation: Pictures
    """Evaluation pictures; some classes may be missing."""


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
            return _folder_splits(root)
        case FolderDataConfig():
            return _folder_splits(Path(config.root))
        case ShardsDataConfig():
            train = open_shards(Path(config.root) / "train")
            return Splits(train, open_shards(Path(config.root) / "val", train.classes))
        case SmallPicturesConfig():
            return _small_splits(config, cache)


def _small_splits(config: SmallDataConfig, cache: Path) -> Splits:
    train, evaluation = _decoded_splits(config, cache)
    if config.train_pictures is not None:
        train = balanced_subset(train, config.train_pictures, config.subset_seed)
    return Splits(train, evaluation)


def _decoded_splits(config: SmallDataConfig, cache: Path) -> DecodedSplits:
    """Returns all pictures of a small set, decoded in this process or an earlier one."""
    if isinstance(config, ParquetDataConfig):
        root = Path(config.root)
        files = [file for split in ("train", "test") for file in parquet_files(root, split)]
        return decoded_once(config.kind, files, cache, lambda: read_parquet(root))
    published = find_published(config)
    return decoded_once(config.kind, published.files, cache, lambda: read_published(published))


def _folder_splits(root: Path) -> Splits:
    train = list_folder(root / "train")
    return Splits(train, list_folder(root / "val", train.classes))
