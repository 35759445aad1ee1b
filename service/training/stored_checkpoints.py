"""Checkpoints in an object store: whole there once their manifest is.

A machine's copy of a run has a folder for each of its checkpoints, which may hold no more than the
small files: enough to choose among them. The large ones come when they are read.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.storage.object_store import NoSuchObjectError
from service.storage.working_copy import Place, alone, place_of
from service.training.checkpoint_files import CONFIG, METADATA, METRICS, remove_checkpoint
from service.training.manifest import MANIFEST, DamagedCheckpoint, read_manifest, read_verified
from service.training.retention import checkpoint_folders, is_checkpoint_name

_SMALL = (METRICS, METADATA, CONFIG)


def upload(folder: Path) -> None:
    """Brings a checkpoint to the store of its copy, if it lies in one; the manifest comes last.

    Raises:
        OSError: The store does not take it.
    """
    place = place_of(folder)
    if place is None:
        return
    store, name = place
    # One of this name that is there is no longer whole.
    store.delete([f"{name}/{MANIFEST}"])
    for file in (*read_manifest(folder), MANIFEST):
        store.upload(folder / file, f"{name}/{file}")


def discard(folder: Path) -> None:
    """Deletes a checkpoint; in the store of a copy first, and there the manifest before all else.

    Raises:
        OSError: The storage refuses.
    """
    place = place_of(folder)
    if place is not None and is_checkpoint_name(folder.name):
        _withdraw(place)
    remove_checkpoint(folder)


def withdraw_unfinished(folder: Path) -> None:
    """Deletes what interrupted uploads and deletions of a run's checkpoints left in the store.

    Raises:
        OSError: The store refuses.
    """
    place = place_of(folder)
    if place is None:
        return
    for name in _stored(place):
        if MANIFEST not in place.store.entries(f"{place.name}/{name}"):
            _withdraw(Place(place.store, f"{place.name}/{name}"))


def bring_small_files(folder: Path) -> None:
    """Makes a run's checkpoints on this machine those that the store has, as far as small files go.

    Args:
        folder: The run's folder; one in no copy has its checkpoints already.

    Raises:
        OSError: The store cannot be read.
    """
    place = place_of(folder)
    if place is None:
        return
    with alone(folder):
        manifests = {name: _manifest(place, name) for name in _stored(place)}
        for known in checkpoint_folders(folder):
            manifest = manifests.get(known.name)
            if manifest is None or not _is(known, manifest):
                remove_checkpoint(known)
        for name, manifest in manifests.items():
            if manifest is not None and not (folder / name).exists():
                _bring(place, folder / name, _SMALL)


def bring_checkpoint(folder: Path) -> bool:
    """Brings a checkpoint of a copy here, unless it is whole; returns whether the store has it.

    Raises:
        OSError: The store cannot be read.
    """
    place = place_of(folder.parent)
    if place is None:
        return False
    with alone(folder.parent):
        manifest = _manifest(place, folder.name)
        if manifest is not None and not (_is(folder, manifest) and _is_whole(folder)):
            _bring(place, folder, None)
    return manifest is not None


@contextmanager
def at_hand(folder: Path) -> Iterator[None]:
    """Brings a checkpoint of a copy here for a moment; afterwards its small files are left.

    Raises:
        OSError: The store cannot be read.
    """
    brought = bring_checkpoint(folder)
    yield
    if brought:
        for file in folder.iterdir():
            if file.name not in (*_SMALL, MANIFEST):
                file.unlink()


def keep_only(folder: Path) -> None:
    """Forgets the other checkpoints of the run on this machine, which another one writes."""
    with alone(folder.parent):
        for other in checkpoint_folders(folder.parent):
            if other != folder:
                remove_checkpoint(other)


def _withdraw(place: Place) -> None:
    store, name = place
    store.delete([f"{name}/{MANIFEST}"])
    store.delete(store.list(name))


def _stored(place: Place) -> list[str]:
    """Returns the names of a run's checkpoints in the store, whole or not."""
    entries = place.store.entries(place.name)
    return [name for name, record in entries.items() if record is None and is_checkpoint_name(name)]


def _manifest(place: Place, name: str) -> bytes | None:
    try:
        return place.store.read(f"{place.name}/{name}/{MANIFEST}")
    except NoSuchObjectError:
        return None


def _is(folder: Path, manifest: bytes) -> bool:
    try:
        return (folder / MANIFEST).read_bytes() == manifest
    except OSError:
        return False


def _is_whole(folder: Path) -> bool:
    try:
        for name, record in read_manifest(folder).items():
            read_verified(folder / name, record)
    except DamagedCheckpoint:
        return False
    return True


def _bring(place: Place, folder: Path, wanted: tuple[str, ...] | None) -> None:
    """Brings files of a checkpoint, all where no others are named; it appears under its name last.

    Raises:
        NoSuchObjectError: The store has no such checkpoint.
    """
    name = f"{place.name}/{folder.name}"
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    place.store.download(f"{name}/{MANIFEST}", unfinished / MANIFEST)
    try:
        # What is not in the manifest leads nowhere: names out of a store are no paths.
        for file in read_manifest(unfinished):
            if (wanted is None or file in wanted) and Path(file).name == file:
                place.store.download(f"{name}/{file}", unfinished / file)
        remove_checkpoint(folder)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
