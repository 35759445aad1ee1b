"""A checkpoint: one folder that is either whole or not there."""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import safetensors.torch
import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

from service.training.checkpoint_files import (
    CONFIG,
    EMA,
    METADATA,
    METRICS,
    MODEL,
    STATE,
    UNFINISHED,
    remove_checkpoint,
    share,
)
from service.training.manifest import (
    MANIFEST,
    DamagedCheckpoint,
    flushed,
    parse_json,
    read_manifest,
    read_verified,
    write_manifest,
)
from service.training.storage_errors import storage_errors
from service.training.stored_checkpoints import bring_checkpoint

_NAMES = frozenset({MODEL, EMA, STATE, CONFIG, METRICS, METADATA})

Tree: TypeAlias = Any
"""Tensors, plain values, and dictionaries, lists and tuples of these."""


@dataclass(frozen=True)
class CheckpointContent:
    """Everything needed to go on training, or to use the model."""

    model: dict[str, Tensor]
    """State dict of the network."""
    ema: dict[str, Tensor] | None
    """State dict of its average, if there is one."""
    state: dict[str, Any]
    """Optimiser, scaler, counters, position: tensors, numbers, strings and containers of these."""
    config_yaml: str
    """The resolved configuration."""
    metrics: dict[str, float]
    """Figures at this point of the run."""
    metadata: dict[str, Any]
    """What using the model needs, such as class names and preprocessing; JSON."""


def write_checkpoint(
    folder: Path, content: CheckpointContent, may_appear: Callable[[], None] | None = None
) -> None:
    """Writes a checkpoint that appears under its name at once and complete.

    Everything is written and flushed to the disk in a hidden folder beside it, which is renamed at
    the end. A folder that already has the name is replaced.

    Args:
        folder: Where it shall be; missing parents are made.
        content: Tensors on the CPU that nothing changes meanwhile; see `staging`.
        may_appear: Called before it gets its name; if it raises, it does not.

    Raises:
        TypeError: `state` holds objects that are not plain data, or a tensor cannot be saved.
        OSError: The storage refuses.
    """
    unfinished = folder.with_name(f".{folder.name}{UNFINISHED}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        _write_files(unfinished, content)
        records = {path.name: flushed(path) for path in sorted(unfinished.iterdir())}
        write_manifest(unfinished, records)
        _flush_folder(unfinished)
        if may_appear is not None:
            may_appear()
        remove_checkpoint(folder)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _flush_folder(folder.parent)


def read_checkpoint(folder: Path) -> CheckpointContent:
    """Reads a checkpoint onto the CPU, after comparing every file with the manifest.

    Raises:
        DamagedCheckpoint: A file is missing or not what was written.
    """
    records = read_manifest(folder)
    for name in records.keys() - _NAMES:
        raise DamagedCheckpoint(f"{folder / MANIFEST}: lists the unknown file {name[:100]!r}")

    def read(name: str) -> bytes:
        if name not in records:
            raise DamagedCheckpoint(f"{folder / name}: not in the manifest")
        return read_verified(folder / name, records[name])

    return CheckpointContent(
        model=_parse_tensors(folder / MODEL, read(MODEL)),
        ema=_parse_tensors(folder / EMA, read(EMA)) if EMA in records else None,
        state=_parse_state(folder / STATE, read(STATE)),
        config_yaml=_parse_text(folder / CONFIG, read(CONFIG)),
        metrics=_parse_object(folder / METRICS, read(METRICS)),
        metadata=_parse_object(folder / METADATA, read(METADATA)),
    )


def read_stored(folder: Path) -> CheckpointContent:
    """Reads a checkpoint; one in a copy that is not whole here is brought from its store first.

    Raises:
        DamagedCheckpoint: A file is missing or not what was written.
        OSError: The store cannot be read.
    """
    try:
        return read_checkpoint(folder)
    except DamagedCheckpoint:
        if not bring_checkpoint(folder):
            raise
    return read_checkpoint(folder)


def newest_valid(
    folders: Iterable[Path], read: Callable[[Path], CheckpointContent] = read_checkpoint
) -> tuple[CheckpointContent | None, list[str]]:
    """Returns the first checkpoint that can be used, and a complaint for each one before it.

    Args:
        folders: Checkpoints, newest first; see `retention.checkpoint_folders`.
        read: Reads one, or raises DamagedCheckpoint.
    """
    complaints: list[str] = []
    for folder in folders:
        try:
            return read(folder), complaints
        except DamagedCheckpoint as damage:
            complaints.append(str(damage))
    return None, complaints


def _write_files(folder: Path, content: CheckpointContent) -> None:
    with storage_errors():
        safetensors.torch.save_file(_separate(content.model), folder / MODEL)
        if content.ema is not None:
            safetensors.torch.save_file(_separate(content.ema), folder / EMA)
        # Given a path, torch would not tell why it could not write.
        with (folder / STATE).open("wb") as file:
            torch.save(content.state, file)
    refused = get_unsafe_globals_in_checkpoint(folder / STATE)
    if refused:
        raise TypeError(f"the state to save holds more than plain data: {', '.join(refused)}")
    metrics = {name: float(value) for name, value in content.metrics.items()}
    (folder / CONFIG).write_text(content.config_yaml, "utf-8")
    (folder / METRICS).write_text(json.dumps(metrics, indent=2), "utf-8")
    (folder / METADATA).write_text(json.dumps(content.metadata, indent=2), "utf-8")
    share(folder)


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns tensors without gaps and without shared memory, which safetensors refuses."""
    separate: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        whole = tensor.detach().contiguous()
        storage = whole.untyped_storage().data_ptr()
        separate[name] = whole.clone() if storage in storages else whole
        storages.add(storage)
    return separate


def _flush_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse_tensors(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedCheckpoint(f"{path}: not a safetensors file ({reason})") from error


def _parse_state(path: Path, data: bytes) -> dict[str, Any]:
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise DamagedCheckpoint(f"{path}: holds more than plain data, or is no state") from error
    if not isinstance(state, dict):
        raise DamagedCheckpoint(f"{path}: not a dictionary")
    return state


def _parse_text(path: Path, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DamagedCheckpoint(f"{path}: not UTF-8 text") from error


def _parse_object(path: Path, data: bytes) -> dict[str, Any]:
    value = parse_json(path, data)
    if not isinstance(value, dict):
        raise DamagedCheckpoint(f"{path}: not a JSON object")
    return value
