"""The pictures that a checkpoint is evaluated on: its own, or others of the same classes."""

from pathlib import Path

from service.classification.checking import datasets_folder
from service.config.coco import COCOConfig
from service.config.data import FolderDataConfig, ShardsDataConfig
from service.config.detection_data import COCODataConfig
from service.config.errors import ConfigurationError
from service.data.detection.coco import Category, DetectionSet
from service.data.folder_index import listed_once
from service.data.pictures import Pictures
from service.data.shards import open_shards
from service.data.splits import open_splits
from service.detection.task import open_splits as open_detection_splits
from service.inference.trained import Trained, storage_folder


def evaluation_set(trained: Trained) -> Pictures:
    """Opens a classifier's evaluation pictures.

    Where there are no training pictures to tell the classes, the checkpoint tells them: `data.root`
    may hold `val/` alone, or the class folders themselves, and of the classes as many as it likes.

    Raises:
        ConfigurationError: The data cannot be used, or have other classes than the checkpoint.
    """
    config = trained.config
    if isinstance(config, COCOConfig):
        raise TypeError("a detector is no classifier")
    cache = datasets_folder(storage_folder(config))
    data = config.data
    if isinstance(data, FolderDataConfig | ShardsDataConfig) and _lacks(Path(data.root), "train"):
        return _alone(Path(data.root), trained.classes, cache)
    splits = open_splits(data, cache)
    _agree("classes", splits.train.classes, trained.classes)
    return splits.evaluation


def detection_evaluation_set(trained: Trained, config: COCOConfig) -> DetectionSet:
    """Opens a detector's evaluation pictures; those of training may be missing.

    Raises:
        ConfigurationError: The data cannot be used, or have other categories than the checkpoint.
    """
    data = config.data
    if isinstance(data, COCODataConfig) and _lacks(Path(data.root), data.train_annotations):
        # Then the categories are read from the evaluation's file.
        own = {
            "train_annotations": data.evaluation_annotations,
            "train_pictures": data.evaluation_pictures,
        }
        config = config.model_copy(update={"data": data.model_copy(update=own)})
    splits = open_detection_splits(config, storage_folder(config))
    _agree("categories", _labels(splits.train.categories), _labels(trained.categories))
    return splits.evaluation


def set_name(trained: Trained) -> str:
    """Returns what people call the evaluation pictures: the folder they are in, or their kind."""
    data = trained.config.data
    root = getattr(data, "root", None)
    if data.kind in ("folder", "shards", "parquet", "coco") and root is not None:
        return Path(root).name or data.kind
    return data.kind


def _lacks(root: Path, name: str) -> bool:
    """Returns whether a folder is there and does not hold what has this name."""
    return root.is_dir() and not (root / name).exists()


def _alone(root: Path, classes: tuple[str, ...], cache: Path) -> Pictures:
    folder = root / "val" if (root / "val").is_dir() else root
    if any(folder.glob("[!.]*.tar")):
        return open_shards(folder, classes)
    inside = (entry.name for entry in folder.iterdir() if entry.is_dir())
    unknown = sorted(name for name in inside if name not in classes and not name.startswith("."))
    if unknown:
        raise ConfigurationError(
            f"data.root: {folder} holds the folder {unknown[0]!r}, and the checkpoint has no class "
            "of this name; expected a folder for each class, or val/ with them"
        )
    return listed_once(folder, cache, classes)


def _labels(categories: tuple[Category, ...]) -> tuple[str, ...]:
    return tuple(f"{category.id} {category.name!r}" for category in categories)


def _agree(what: str, data: tuple[str, ...], checkpoint: tuple[str, ...]) -> None:
    """Raises ConfigurationError where labels would mean other things than in training."""
    if data == checkpoint:
        return
    first = next((pair for pair in zip(data, checkpoint, strict=False) if pair[0] != pair[1]), None)
    detail = f"; the first that differs is {first[0]}, there {first[1]}" if first else ""
    raise ConfigurationError(
        f"data: its {len(data)} {what} are not the {len(checkpoint)} that the checkpoint was "
        f"trained on{detail}; give data of the same {what} in the same order"
    )
