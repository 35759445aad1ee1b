"""A checkpoint that somebody wants to use: checked against its manifest, without its optimiser.

Nothing in it is executed: weights are safetensors, the rest is YAML and JSON.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from service.config.cifar import CIFARConfig
from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.config.merging import Tree
from service.config.run import RunConfig
from service.config.showing import shown
from service.config.small_data import SmallDataConfig
from service.config.yaml_reading import read_yaml
from service.data.detection.coco import Category
from service.storage.folders import storage_folder as folder_of
from service.tracking.address import redact, resolve_uri
from service.tracking.weights import local_weights
from service.training.checkpoint_files import CONFIG, EMA, METADATA, METRICS, MODEL
from service.training.manifest import (
    MANIFEST,
    DamagedCheckpoint,
    FileRecord,
    parse_json,
    read_manifest,
    read_verified,
)
from service.training.retention import checkpoint_folders

WeightsChoice = Literal["auto", "model", "ema"]
"""Which weights of a checkpoint: `auto` is their average where there is one."""

AnyConfig = ImageNetConfig | CIFARConfig | COCOConfig
"""What a checkpoint of this service was trained with."""

_STEP = re.compile(r"step_(\d{8,})")
_FILES = {"model": MODEL, "ema": EMA}


@dataclass(frozen=True)
class Trained:
    """A network as training left it, and what using it needs."""

    address: str
    """The checkpoint as the user named it."""
    folder: Path
    """It, on this machine."""
    config: AnyConfig
    """What it was trained with, under the overrides of whoever uses it."""
    metadata: dict[str, Any]
    """Names and preprocessing."""
    metrics: dict[str, float]
    """What training measured of it."""
    weights: Literal["model", "ema"]
    """Which weights were taken."""
    state: dict[str, Tensor]
    """They, on the CPU, by the network's keys."""
    sha256: str
    """Digest of their file."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of a classifier's classes in the order of its outputs.

        Raises:
            ConfigurationError: The checkpoint does not list them.
        """
        names = self.metadata.get("classes")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _refused(self.folder / METADATA, "does not list the names of its classes")
        return tuple(names)

    @property
    def step(self) -> int | None:
        """Optimiser steps that the weights were trained for, where the checkpoint says it."""
        named, noted = _STEP.fullmatch(self.folder.name), self.metadata.get("step")
        if named is not None:
            return int(named[1])
        return noted if isinstance(noted, int) and noted >= 0 else None

    def names(self, outputs: int) -> tuple[str, ...]:
        """Returns what a classifier's outputs are called; some may be of no class.

        Args:
            outputs: How many it has.

        Raises:
            ConfigurationError: The checkpoint lists no classes, or more than there are outputs.
        """
        names = self.classes
        if len(names) > outputs:
            raise _refused(
                self.folder / METADATA, f"names {len(names)} classes and has {outputs} outputs"
            )
        return (*names, *(f"output {label}" for label in range(len(names), outputs)))

    @property
    def categories(self) -> tuple[Category, ...]:
        """A detector's categories in the order of its labels.

        Raises:
            ConfigurationError: The checkpoint does not list them.
        """
        try:
            listed = self.metadata["categories"]
            return tuple(Category(int(one["id"]), str(one["name"])) for one in listed)
        except (KeyError, TypeError, ValueError) as error:
            raise _refused(self.folder / METADATA, "does not list its categories") from error


def open_trained(
    address: str, overrides: Sequence[str] = (), weights: WeightsChoice = "auto"
) -> Trained:
    """Opens a checkpoint.

    Args:
        address: A checkpoint's folder, or `runs:/…`, `models:/…`, `s3://…`, as `model.weights`
            takes them.
        overrides: Assignments `key.path=value` over the checkpoint's configuration. `storage.path`
            and `tracking.uri` also tell where MLflow is asked.
        weights: Which weights.

    Raises:
        ConfigurationError: There is no checkpoint, it is damaged, or an override does not fit.
    """
    folder = _located(address, overrides)
    with undamaged():
        return _read(address, folder, overrides, weights)


@contextmanager
def undamaged() -> Iterator[None]:
    """Turns what is found damaged inside into what a user can do about it."""
    try:
        yield
    except DamagedCheckpoint as damage:
        raise ConfigurationError(
            f"--checkpoint: {damage}; give another checkpoint of the run, or copy this one anew"
        ) from damage


def _located(address: str, overrides: Sequence[str]) -> Path:
    """Returns the checkpoint's folder on this machine."""
    place = [one for one in overrides if one.startswith(("storage.", "tracking."))]
    where = load(RunConfig, (), place)
    storage = storage_folder(where)
    try:
        uri = resolve_uri(where.tracking, storage, nodes=1)
        folder = local_weights(address, uri, storage / "weights")
    except ConfigurationError as error:
        # There it is the field that names weights; here it is an option.
        message = str(error).replace("model.weights:", "--checkpoint:", 1)
        raise ConfigurationError(message) from error
    if not (folder / MANIFEST).is_file():
        raise ConfigurationError(f"--checkpoint: {redact(address)}: {_why_not(folder)}")
    return folder


def _why_not(path: Path) -> str:
    """Returns why a path is no checkpoint, and what to give instead."""
    instead = "give a folder step_… of a run, runs:/<run id>, models:/<name>/<version> or s3://…"
    if (path.parent / MANIFEST).is_file():
        return f"is a file; give its folder, {path.parent}"
    inside = checkpoint_folders(path)
    if inside:
        return f"is a run's folder; give one of its checkpoints, such as {inside[0]}"
    if path.is_dir():
        return f"holds no checkpoint; {instead}"
    return f"{'is a file' if path.exists() else 'there is no such folder'}; {instead}"


def storage_folder(config: RunConfig) -> Path:
    """Returns the folder of all runs on this machine; a relative one lies in the current folder.

    Raises:
        ConfigurationError: It is the address of an object store that cannot be used here.
    """
    return folder_of(config.storage, Path.cwd())


def _read(address: str, folder: Path, overrides: Sequence[str], weights: WeightsChoice) -> Trained:
    records = read_manifest(folder)
    metadata = _object(folder, METADATA, records)
    taken = _chosen(folder, weights, records)
    file = _FILES[taken]
    return Trained(
        address=address,
        folder=folder,
        config=_configuration(folder, metadata, _verified(folder, CONFIG, records), overrides),
        metadata=metadata,
        metrics=_object(folder, METRICS, records),
        weights=taken,
        state=_tensors(folder / file, _verified(folder, file, records)),
        sha256=records[file].sha256,
    )


def _chosen(
    folder: Path, weights: WeightsChoice, records: dict[str, FileRecord]
) -> Literal["model", "ema"]:
    if weights == "auto":
        return "ema" if EMA in records else "model"
    if weights == "ema" and EMA not in records:
        raise ConfigurationError(
            f"--weights: {folder} holds no average of the weights; take model or auto"
        )
    return weights


def _configuration(
    folder: Path, metadata: dict[str, Any], content: bytes, overrides: Sequence[str]
) -> AnyConfig:
    """Returns the checkpoint's configuration under overrides."""
    try:
        # What `to_yaml` wrote; not read as a file of a user's, which may name others to build on.
        tree = read_yaml(content)
    except ValueError as error:
        raise DamagedCheckpoint(f"{folder / CONFIG}: not YAML") from error
    if not isinstance(tree, dict):
        raise DamagedCheckpoint(f"{folder / CONFIG}: holds no mapping")
    schema = _schema(folder, metadata, tree)
    # Alone first, so that a later complaint is about an override.
    try:
        load(schema, (), (), tree)
    except ConfigurationError as error:
        problem = str(error).splitlines()[0]
        raise DamagedCheckpoint(
            f"{folder / CONFIG}: cannot be used by this version ({problem})"
        ) from error
    return load(schema, (), overrides, tree)


def _schema(folder: Path, metadata: dict[str, Any], tree: Tree) -> type[AnyConfig]:
    match metadata.get("task"):
        case "detection":
            return COCOConfig
        case "classification":
            data = tree.get("data")
            kind = data.get("kind") if isinstance(data, dict) else None
            small = isinstance(kind, str) and kind in _small_kinds()
            return CIFARConfig if small else ImageNetConfig
        case other:
            raise DamagedCheckpoint(
                f"{folder / METADATA}: task is {shown(other)}, neither classification nor detection"
            )


def _small_kinds() -> set[str]:
    union, *_ = get_args(SmallDataConfig)
    return {arm.model_fields["kind"].default for arm in get_args(union)}


def _object(folder: Path, name: str, records: dict[str, FileRecord]) -> dict[str, Any]:
    value = parse_json(folder / name, _verified(folder, name, records))
    if not isinstance(value, dict):
        raise DamagedCheckpoint(f"{folder / name}: not a JSON object")
    return value


def _verified(folder: Path, name: str, records: dict[str, FileRecord]) -> bytes:
    if name not in records:
        raise DamagedCheckpoint(f"{folder / name}: not in the manifest")
    return read_verified(folder / name, records[name])


def _tensors(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise DamagedCheckpoint(f"{path}: not a safetensors file ({error})") from error


def _refused(file: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(f"--checkpoint: {file}: {problem}; give a checkpoint of this service")
