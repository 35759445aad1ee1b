"""The two splits of a data set for detection, from its configuration."""

from dataclasses import dataclass
from pathlib import Path

from service.config.detection_data import COCODataConfig, DetectionDataConfig, DrawnScenesConfig
from service.config.errors import ConfigurationError
from service.data.detection.coco import DetectionSet
from service.data.detection.reading import read_detection_set, without_empty_pictures
from service.data.detection.scenes import draw_scenes, scenes_root


@dataclass(frozen=True)
class DetectionSplits:
    """Training and evaluation pictures with the same categories."""

    train: DetectionSet
    """Training pictures; the categories and the order of the labels come from them."""
    evaluation: DetectionSet
    """Evaluation pictures; some categories may be missing."""


def open_detection_splits(
    config: DetectionDataConfig, cache: Path, *, masks: bool
) -> DetectionSplits:
    """Opens and checks the pictures with objects that the configuration names.

    Args:
        config: The data set.
        cache: Folder where drawn scenes are kept; made where it is missing.
        masks: Whether the detector needs masks; without, segmentations may be missing.

    Raises:
        ConfigurationError: The data set is missing, damaged or contradicts itself, evaluation has
            a category that training lacks, or no training picture shows an object.
    """
    layout = _layout(config, cache)
    most_missing = config.max_skipped_fraction if config.on_error == "skip" else 0.0
    train = read_detection_set(
        _below(layout, "train_annotations"),
        _folder(layout, "train_pictures"),
        masks=masks,
        most_missing=most_missing,
    )
    if train.stored.crowds.all():
        raise ConfigurationError(
            f"{train.annotation_file}: annotations: no picture shows an object that training "
            "could use; crowds are none"
        )
    if config.train.empty_pictures == "leave_out":
        train = without_empty_pictures(train)
    evaluation = read_detection_set(
        _below(layout, "evaluation_annotations"),
        _folder(layout, "evaluation_pictures"),
        masks=masks,
        categories=train.categories,
        most_missing=most_missing,
    )
    return DetectionSplits(train, evaluation)


def _layout(config: DetectionDataConfig, cache: Path) -> COCODataConfig:
    """Returns where files lie; draws what is to be drawn."""
    if isinstance(config, DrawnScenesConfig):
        root = scenes_root(cache, config)
        draw_scenes(root, config)
        return COCODataConfig(root=str(root))
    return config


def _folder(layout: COCODataConfig, field: str) -> Path:
    """Returns a folder of pictures; raises ConfigurationError where it is missing."""
    folder = _below(layout, field)
    if not folder.is_dir():
        raise ConfigurationError(f"data.{field}: there is no folder {folder}")
    return folder


def _below(layout: COCODataConfig, field: str) -> Path:
    """Returns the path that a field names below the root; raises ConfigurationError elsewhere.

    The root's owner may link folders to wherever they are kept, so links are not looked at.
    """
    given: str = getattr(layout, field)
    root = Path(layout.root)
    if not root.is_dir():
        raise ConfigurationError(f"data.root: there is no folder {root}")
    if Path(given).is_absolute() or ".." in Path(given).parts:
        raise ConfigurationError(f"data.{field}: must be a path below data.root (got {given!r})")
    return root / given
