"""Sweep files: a recipe with a section `sweep`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from service.config.cifar import CIFARConfig
from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, parse_override, read_layers
from service.config.merging import Tree
from service.config.showing import shown
from service.config.sweep import SweepConfig


class ImageNetSweep(ImageNetConfig):
    """A search over a recipe of `pipelines/imagenet.py`."""

    sweep: SweepConfig = SweepConfig(pipeline="imagenet")
    """The search."""


class CIFARSweep(CIFARConfig):
    """A search over a recipe of `pipelines/cifar.py`."""

    sweep: SweepConfig = SweepConfig(pipeline="cifar")
    """The search."""


class COCOSweep(COCOConfig):
    """A search over a recipe of `pipelines/coco.py`."""

    sweep: SweepConfig = SweepConfig(pipeline="coco")
    """The search."""


SweepFile: TypeAlias = ImageNetSweep | CIFARSweep | COCOSweep
"""A whole sweep file."""

SCHEMAS: dict[str, type[SweepFile]] = {
    "imagenet": ImageNetSweep,
    "cifar": CIFARSweep,
    "coco": COCOSweep,
}
RECIPES: dict[str, type[ImageNetConfig | CIFARConfig | COCOConfig]] = {
    "imagenet": ImageNetConfig,
    "cifar": CIFARConfig,
    "coco": COCOConfig,
}


def load_sweep(
    files: Sequence[Path], overrides: Sequence[str], beneath: Tree | None = None
) -> SweepFile:
    """Reads sweep files and overrides; `sweep.pipeline` says whose recipe the rest is.

    Args:
        files: YAML files, lowest first.
        overrides: Assignments such as `sweep.trials=12` or `training.duration=5ep`.
        beneath: What holds where no file and no override says otherwise.

    Raises:
        ConfigurationError: A file, key or value cannot be used; one line for each problem.
    """
    layers = [layer for file in files for layer in read_layers(file)]
    layers += [parse_override(text) for text in overrides]
    pipeline = "cifar"
    for layer in layers:
        section = layer.get("sweep")
        if isinstance(section, dict):
            pipeline = section.get("pipeline", pipeline)
    if not isinstance(pipeline, str) or pipeline not in SCHEMAS:
        raise ConfigurationError(
            f"sweep.pipeline: must be one of {', '.join(SCHEMAS)} (got {shown(pipeline)})"
        )
    return load(SCHEMAS[pipeline], files, overrides, beneath)


def recipe_tree(config: SweepFile) -> Tree:
    """Returns the recipe that the trials share, without the search and without a name.

    The trials' best checkpoints are those of the searched metric.
    """
    tree = config.model_dump(mode="json", exclude={"sweep"})
    chosen = {"metric": config.sweep.metric, "mode": config.sweep.mode}
    return tree | {"name": None, "expected": None, "checkpoint": tree["checkpoint"] | chosen}
