"""Runs as training leaves them, made without training."""

import subprocess
import sys
from pathlib import Path
from typing import Protocol

import torch

from service.cluster import runs
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.inspection.folders import look_into
from service.inspection.states import Standing, standing
from service.tracking.journal import METRICS_JOURNAL, Journal
from service.training.checkpoint import CheckpointContent, write_checkpoint
from service.training.retention import checkpoint_folder

STEPS_PER_EPOCH = 10

_DIES = """
import os, sys
from pathlib import Path
from service.cluster.driver_lock import only_driver
with only_driver(Path(sys.argv[1]), "run"):
    os._exit(1)
"""


class MakeRun(Protocol):
    """Makes a run below the test's folder; see `make_run`."""

    def __call__(self, name: str, figures: dict[float, float], *overrides: str) -> Path: ...


def make_run(folder: Path, figures: dict[float, float], *overrides: str) -> Path:
    """Makes a run of two epochs, with a checkpoint for each given epoch and its top-1."""
    options = ["training.duration=2ep", "tracking.enabled=false", *overrides]
    runs.record(folder, load(ImageNetConfig, (), options))
    best = 0.0
    with Journal(folder / METRICS_JOURNAL) as journal:
        for epoch, top1 in figures.items():
            step = int(epoch * STEPS_PER_EPOCH)
            best = max(best, top1)
            metrics = {"val/best_top1": best, "val/top1": top1}
            journal.write(step, metrics)
            content = CheckpointContent(
                model={"weight": torch.zeros(3)},
                ema=None,
                state={},
                config_yaml="",
                metrics={**metrics, "train/epoch": epoch},
                metadata={},
            )
            write_checkpoint(checkpoint_folder(folder, step), content)
    return folder


def state_of(storage: Path, name: str) -> Standing:
    """Returns how a run stands."""
    (place,) = look_into(storage).chosen([name])
    return standing(place)


def kill_a_driver_of(folder: Path) -> None:
    """Leaves a run as a driver does that is killed."""
    subprocess.run([sys.executable, "-c", _DIES, str(folder)], check=False)
    assert (folder / "driver.json").exists()
