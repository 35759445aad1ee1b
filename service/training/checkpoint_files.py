"""A checkpoint's folder as those see it who need none of its tensors, and not torch."""

import shutil
from pathlib import Path

MODEL = "model.safetensors"
EMA = "ema.safetensors"
STATE = "state.pt"
CONFIG = "config.yaml"
METRICS = "metrics.json"
METADATA = "metadata.json"

UNFINISHED = ".unfinished"
REMOVED = ".removed"
"""Ends of the hidden folders that a killed process leaves behind."""


def remove_checkpoint(folder: Path) -> None:
    """Deletes a checkpoint, if there is one; it loses its name before its first file."""
    if folder.exists():
        removed = folder.with_name(f".{folder.name}{REMOVED}")
        shutil.rmtree(removed, ignore_errors=True)
        folder.rename(removed)
        shutil.rmtree(removed)
