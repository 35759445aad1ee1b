"""The checkpoints of a run, without their tensors."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.training.manifest import MANIFEST, DamagedCheckpoint, FileRecord, read_manifest
from service.training.retention import checkpoint_folders, read_metrics

EPOCH = "train/epoch"
"""Figure of a checkpoint: epochs done."""


@dataclass(frozen=True)
class KeptCheckpoint:
    """A checkpoint as its folder shows it."""

    folder: Path
    """Where it is."""
    step: int
    """Optimiser steps done."""
    metrics: dict[str, float]
    """Its figures; empty if they cannot be read."""

    @property
    def epoch(self) -> float | None:
        """Epochs done, if it says so."""
        return self.metrics.get(EPOCH)


def kept_checkpoints(folder: Path) -> list[KeptCheckpoint]:
    """Returns the checkpoints in a run's folder, newest first; links are none."""
    return [
        KeptCheckpoint(path, int(path.name.removeprefix("step_")), _numbers(read_metrics(path)))
        for path in checkpoint_folders(folder)
        if not path.is_symlink()
    ]


def damages(folder: Path) -> Iterator[str]:
    """Compares a checkpoint's files with its manifest; yields a line for each that differs.

    Files are read piece by piece, so that none is in memory as a whole.
    """
    try:
        records = read_manifest(folder)
    except DamagedCheckpoint as damage:
        yield str(damage)
        return
    for name, record in sorted(records.items()):
        if Path(name).name != name:
            yield f"{folder / MANIFEST}: names {name[:100]!r}, which is no file of the checkpoint"
            continue
        problem = _damage(folder / name, record)
        if problem is not None:
            yield f"{folder / name}: {problem}"


def _damage(file: Path, record: FileRecord) -> str | None:
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            size = opened.tell()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if size != record.size:
        return f"{size} bytes, the manifest says {record.size}"
    return None if digest == record.sha256 else "its SHA-256 differs from the manifest's"


def _numbers(metrics: dict[str, float]) -> dict[str, float]:
    """Returns the figures that are numbers; a foreign file may hold anything."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
