"""What a driver finds out about a classification before any worker starts; without torch."""

from pathlib import Path

from service.config.cifar import CIFARConfig
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.data.splits import Splits, open_splits

Recipe = ImageNetConfig | CIFARConfig
"""The configurations this task understands."""

FIGURES = ("top1", "top5", "loss")
"""What an evaluation measures."""


def datasets_folder(storage: Path) -> Path:
    """Returns the folder under the storage path that holds drawn pictures."""
    return storage / "datasets"


def check(config: Recipe, storage: Path) -> Splits:
    """Finds out what would fail on a worker before any worker starts, and returns the data.

    Raises:
        ConfigurationError: The data or the starting weights cannot be used.
    """
    splits = open_splits(config.data, datasets_folder(storage))
    classes = len(splits.train.classes)
    if config.model.classes is not None and config.model.classes < classes:
        raise ConfigurationError(
            f"model.classes: {config.model.classes} outputs cannot tell the data's {classes} "
            "classes apart; leave it at null"
        )
    if config.model.weights is not None:
        from service.models.build import build_network
        from service.models.weights import load_weights

        load_weights(build_network(config.model, classes), config.model.weights)
    return splits
