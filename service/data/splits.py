"""The two splits of a data set, from its configuration."""

from dataclasses import dataclass
from pathlib import Path

from service.config.data import DataConfig, DrawnDataConfig, FolderDataConfig, ShardsDataConfig
from service.data.drawing.tree import draw_pictures, drawn_root
from service.data.folder import list_folder
from service.data.pictures import PictureSet
from service.data.shards import open_shards


@dataclass(frozen=True)
class Splits:
    """Training and evaluation pictures with the same classes."""

    train: PictureSet
    """Training pictures; the class list and the label order come from them."""
    evaluation: PictureSet
    """Evaluation pictures; some classes may be missing."""


def open_splits(config: DataConfig, cache: Path) -> Splits:
    """Opens the pictures that the configuration names.

    Args:
        config: The data set.
        cache: Folder where drawn pictures are kept; made where it is missing.

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


def _folder_splits(root: Path) -> Splits:
    train = list_folder(root / "train")
    return Splits(train, list_folder(root / "val", train.classes))
