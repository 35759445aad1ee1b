"""Runs in an object store, as this machine needs them to tell of them."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.cluster.run_copy import begin_copy
from service.config.training import StorageConfig
from service.inspection.folders import SWEEP_FILE
from service.storage.address import is_address
from service.storage.folders import storage_folder
from service.storage.working_copy import place_of, store_answering

_APART = "looked-at"
"""Folder beside the copies of the runs that go on: theirs hold what is not in the store yet."""
_AT_ONCE = 8


def opened_storage(text: str) -> Path:
    """Returns the folder of all runs; of an object store, a copy of the runs' small files.

    Args:
        text: A folder or an address.

    Raises:
        ConfigurationError: The store cannot be read.
    """
    if not is_address(text):
        return Path(text)
    apart = f"{StorageConfig().working_folder}/{_APART}"
    storage = storage_folder(StorageConfig(path=text, working_folder=apart), Path.cwd())
    with store_answering():
        names = _folders(storage)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(lambda name: _bring(storage / name), names))
    return storage


def _bring(folder: Path) -> None:
    _bring_dated(folder)
    if (folder / SWEEP_FILE).is_file():
        for name in _folders(folder):
            _bring_dated(folder / name)


def _bring_dated(folder: Path) -> None:
    """Brings a run; its files get the times at which the store got them."""
    begin_copy(folder)
    place = place_of(folder)
    if place is None:
        return
    for path in folder.iterdir():
        if path.is_file() and not path.name.startswith("."):
            found = place.store.list(f"{place.name}/{path.name}").values()
            modified = max((record.modified for record in found), default=0.0)
            os.utime(path, (modified, modified))


def _folders(folder: Path) -> list[str]:
    place = place_of(folder)
    if place is None:
        return []
    return [name for name, one in place.store.entries(place.name).items() if one is None]
