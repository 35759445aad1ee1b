"""Taking over another trial's checkpoint (population based training)."""

import shutil
import time
from pathlib import Path

from service.storage.atomic import whole_folder
from service.training.checkpoint_files import remove_checkpoint
from service.training.retention import checkpoint_folder, checkpoint_folders

_ADOPTED = "adopted"
_PATIENCE = 120.0  # seconds a checkpoint may take to be written


def adopt(folder: Path, donor: Path, step: int) -> Path:
    """Copies another run's checkpoint into a run's folder, aside from the run's own.

    There it stays until the next one is adopted, so that a restarted run finds it.

    Args:
        folder: Folder of the run.
        donor: Folder of the other run.
        step: Optimiser steps after which the checkpoint was written.

    Returns:
        The copy.

    Raises:
        TimeoutError: The other run's checkpoint does not appear.
    """
    source, target = checkpoint_folder(donor, step), checkpoint_folder(folder / _ADOPTED, step)
    _wait_for(source)
    remove_checkpoint(target)
    with whole_folder(target) as unfinished:
        shutil.copytree(source, unfinished, dirs_exist_ok=True)
    for adopted in checkpoint_folders(target.parent):
        if adopted != target:
            remove_checkpoint(adopted)
    return target


def forget_adopted(folder: Path) -> None:
    """Removes what a run adopted, once it is over: nobody goes on from that any more.

    Args:
        folder: Folder of the run.
    """
    if (folder / _ADOPTED).is_dir():
        shutil.rmtree(folder / _ADOPTED)


def _wait_for(folder: Path) -> None:
    """Waits until a checkpoint is there: it appears whole, a while after its evaluation."""
    until = time.monotonic() + _PATIENCE
    while not folder.is_dir():
        if time.monotonic() > until:
            raise TimeoutError(f"{folder} was not written within {_PATIENCE:g} s")
        time.sleep(0.1)
