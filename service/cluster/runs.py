"""Runs by name: making, finding and continuing them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.config.base import Config
from service.config.errors import ConfigurationError
from service.config.loading import read_mapping, to_yaml
from service.config.merging import Tree
from service.storage.working_copy import bring, bring_each, store_answering, told

CONFIG = "config.yaml"

# What the samples and their order depend on, and the weights beside the network itself.
_FIXED = (
    "model.regularizer.kind",
    "model.backbone.regularizer.kind",
    "data.kind",
    "data.root",
    "data.train_pictures",
    "data.drawing_seed",
    "data.subset_seed",
    "data.train_annotations",
    "data.train.repeats",
    "data.train.empty_pictures",
    "data.train.group_by_aspect_ratio",
    "optimizer.kind",
    "training.batch_size",
    "training.seed",
    "training.average.enabled",
)

# What may change in a network without changing its weights' shapes.
_FREE = frozenset(
    {
        "regularizer",
        "weights",
        "zero_init_last_gamma",
        "backbone_lr_multiplier",
        "score_threshold",
        "nms_threshold",
        "detections_per_picture",
        "proposals",
        "region_samples",
        "pyramid_drop_block",
    }
)


def new_name(label: str) -> str:
    """Returns a name that says what and when: `shakedrop-resnet50-20260131-235959`."""
    return f"{label}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def check_name(name: str) -> None:
    """Checks that a run's name is one plain folder name.

    Raises:
        ConfigurationError: It would lead out of the storage folder or hide the run.
    """
    if not name or Path(name).name != name or name.startswith(".") or not name.isprintable():
        raise ConfigurationError(
            f"name: {name!r} is no plain folder name; use letters, digits, - _ ."
        )


def newest(storage: Path) -> str:
    """Returns the name of the run that was started or continued last.

    Raises:
        ConfigurationError: There is none.
    """
    with store_answering():
        bring_each(storage, CONFIG)
    configs = sorted(storage.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    if not configs:
        raise ConfigurationError(f"--resume: no run in {told(storage)}; start one without --resume")
    return configs[-1].parent.name


def exists(folder: Path) -> bool:
    """Tells whether a run was begun in the folder."""
    with store_answering():
        bring(folder / CONFIG)
    return (folder / CONFIG).is_file()


def record(folder: Path, config: Config) -> None:
    """Keeps the configuration in the run's folder, for `--resume` and for people."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{CONFIG}.unfinished"
    unfinished.write_text(to_yaml(config), encoding="utf-8")
    unfinished.replace(folder / CONFIG)


def check_resumable(folder: Path, config: Config) -> None:
    """Checks that a run goes on with what its position and its weights depend on.

    Raises:
        ConfigurationError: Something that must stay has changed.
    """
    begun = read_mapping(folder / CONFIG)
    now = config.model_dump(mode="json")
    for path in (*_network_fields(now["model"], "model"), *_FIXED):
        before, after = _value(begun, path), _value(now, path)
        if before != after:
            raise ConfigurationError(
                f"{path}: the run {folder.name} began with {before} (got {after}); resume with the "
                "same, or start a new run under another name"
            )


def _network_fields(model: Tree, path: str) -> Iterator[str]:
    """Yields the fields that the weights' shapes depend on, those of a detector's backbone too."""
    for field, value in model.items():
        if field == "backbone":
            yield from _network_fields(value, f"{path}.{field}")
        elif field not in _FREE:
            yield f"{path}.{field}"


def _value(tree: Any, path: str) -> Any:  # noqa: ANN401  # a leaf of YAML
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
