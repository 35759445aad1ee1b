"""A checkpoint's folder as those see it who need none of its tensors, and not torch."""

import shutil
import stat
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


def share(folder: Path) -> None:
    """Gives all files of a checkpoint the access rights that the user's new files have.

    safetensors writes files that nobody else can read. The umask cannot be asked for without
    changing it for all threads; `state.pt` was opened as any file, so its rights are those.
    """
    rights = stat.S_IMODE((folder / STATE).stat().st_mode)
    for file in folder.iterdir():
        if stat.S_IMODE(file.stat().st_mode) != rights:
            file.chmod(rights)
