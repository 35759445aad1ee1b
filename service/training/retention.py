"""Which checkpoints of a run are kept, by their folders' names and metrics."""

import json
import math
import re
from pathlib import Path
from typing import Literal

from service.training.checkpoint_files import METRICS, REMOVED, UNFINISHED

_NAME = re.compile(r"step_(\d{8,})")


def checkpoint_folder(parent: Path, step: int) -> Path:
    """Returns the folder of the checkpoint after `step` optimiser steps, such as step_00000120."""
    return parent / f"step_{step:08d}"


def is_checkpoint_name(name: str) -> bool:
    """Tells whether a folder's name is that of a checkpoint."""
    return _NAME.fullmatch(name) is not None


def checkpoint_folders(parent: Path) -> list[Path]:
    """Returns a run's checkpoints, newest first; what a killed writer left behind is not one."""
    if not parent.is_dir():
        return []
    folders = [path for path in parent.iterdir() if is_checkpoint_name(path.name) and path.is_dir()]
    return sorted(folders, key=_step, reverse=True)


def keep_best_and_last(
    folder: Path, metric: str, mode: Literal["max", "min"], keep: int
) -> list[Path]:
    """Returns the folders to delete: all checkpoints but the last one and the `keep` best.

    Of equal ones the newer is better. One without the metric, or with one that is not finite, is
    worse than any other. What a killed writer left behind goes too, so no write may be under way.

    Args:
        folder: Where the run's checkpoints are.
        metric: Name of the figure that is compared, such as val/top1.
        mode: Whether a larger or a smaller figure is better.
        keep: How many of the best are kept.
    """
    newest_first = checkpoint_folders(folder)
    sign = 1 if mode == "max" else -1
    # Sorting is stable: of equal ones the newer stays ahead.
    best_first = sorted(newest_first, key=lambda path: _score(path, metric, sign), reverse=True)
    kept = {*best_first[:keep], *newest_first[:1]}
    return [path for path in newest_first if path not in kept] + _leftovers(folder)


def best_checkpoint(folder: Path, metric: str, mode: Literal["max", "min"]) -> Path | None:
    """Returns the checkpoint with the best figure, the newer of equal ones, or None."""
    sign = 1 if mode == "max" else -1
    newest_first = checkpoint_folders(folder)
    return max(newest_first, key=lambda path: _score(path, metric, sign), default=None)


def read_metrics(folder: Path) -> dict[str, float]:
    """Returns a checkpoint's figures; none if they cannot be read."""
    try:
        metrics = json.loads((folder / METRICS).read_bytes())
    except (OSError, ValueError, RecursionError):
        # A damaged checkpoint ranks like one without figures; reading it will complain.
        return {}
    return metrics if isinstance(metrics, dict) else {}


def _leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.glob(".step_*") if path.suffix in {UNFINISHED, REMOVED}]


def _score(folder: Path, metric: str, sign: int) -> float:
    value = read_metrics(folder).get(metric)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return -math.inf
    return sign * value


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step_"))
