"""What lies in a storage folder: runs, sweeps with their trials, and what is neither."""

import difflib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from service.cluster.driver_lock import was_left
from service.cluster.runs import CONFIG
from service.config.errors import ConfigurationError
from service.config.showing import one_line
from service.storage.working_copy import place_of

SWEEP_FILE = "sweep.yaml"
"""What `service.cluster.sweeps.folders` calls CONFIG; its import takes a second."""
WEIGHTS = "weights"
"""Folder of the weights that were fetched for runs."""
DATASETS = "datasets"
"""Folder of the data that was prepared for runs."""

_TRIAL = re.compile(r"trial_\d{3,}")
# What runs leave beside them in the storage folder.
_KNOWN = frozenset({WEIGHTS, DATASETS, "mlflow-artifacts"})


@dataclass(frozen=True)
class Place:
    """A run, a sweep, or a trial of one."""

    name: str
    """Its name below the storage folder: a-run, a-sweep/trial_001."""
    folder: Path
    """Its folder."""
    kind: Literal["run", "sweep", "trial"]
    """What it is."""

    @property
    def driven(self) -> Path:
        """The folder that its driver holds; a trial's driver holds the whole sweep."""
        return self.folder.parent if self.kind == "trial" else self.folder


@dataclass(frozen=True)
class Contents:
    """What was found in a storage folder."""

    storage: Path
    """The folder."""
    places: list[Place] = field(default_factory=list)
    """Runs, sweeps and their trials, by name."""
    notes: list[str] = field(default_factory=list)
    """A line for each folder that is none of them, and is left alone."""

    def chosen(self, names: Iterable[str]) -> list[Place]:
        """Returns the places of the given names; each name may also be a path to the folder.

        Raises:
            ConfigurationError: There is none of such a name.
        """
        known = {place.name: place for place in self.places}
        return [known[self._name(name, known)] for name in names]

    def _name(self, given: str, known: dict[str, Place]) -> str:
        below = os.path.relpath(Path(given).absolute(), self.storage.absolute())
        for name in (given.rstrip("/"), below):
            if name in known:
                return name
        close = difflib.get_close_matches(given, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "`list` shows what there is"
        raise ConfigurationError(f"{one_line(given)}: no such run in {self.storage}; {hint}")


def look_into(storage: Path) -> Contents:
    """Finds what lies in a storage folder; links are named and not followed.

    Raises:
        ConfigurationError: There is no such folder, or it cannot be read.
    """
    try:
        entries = sorted(os.scandir(storage), key=lambda entry: entry.name)
    except OSError as error:
        raise ConfigurationError(
            f"--storage: {one_line(storage)}: {error.strerror}; name the folder of all runs"
        ) from error
    contents = Contents(storage)
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _KNOWN:
            continue
        if entry.is_symlink():
            contents.notes.append(f"{one_line(entry.name)}: a link, not followed")
        elif entry.is_dir():
            _add(contents, Path(entry.path))
    return contents


def _add(contents: Contents, folder: Path) -> None:
    try:
        found = list(_places(folder))
    except OSError as error:
        contents.notes.append(f"{one_line(folder.name)}: {error.strerror}")
        return
    contents.places.extend(found)
    if not found:
        contents.notes.append(f"{one_line(folder.name)}: neither a run nor a sweep")


def _places(folder: Path) -> Iterator[Place]:
    if (folder / SWEEP_FILE).is_file():
        yield Place(folder.name, folder, "sweep")
        for trial in sorted(folder.iterdir()):
            if _TRIAL.fullmatch(trial.name) and trial.is_dir() and not trial.is_symlink():
                yield Place(f"{folder.name}/{trial.name}", trial, "trial")
    elif (folder / CONFIG).is_file() or was_left(folder):
        yield Place(folder.name, folder, "run")


def size_of(folder: Path) -> int:
    """Returns the bytes of all files below a folder, or of a file; links count nothing.

    In a copy of an object store the store's count.
    """
    place = place_of(folder)
    if place is not None:
        return sum(record.size for record in place.store.list(place.name).values())
    if folder.is_dir() and not folder.is_symlink():
        return sum(_bytes(entry.path) for entry in files_below(folder))
    return _bytes(folder)


def _bytes(file: str | Path) -> int:
    try:
        status = os.lstat(file)
    except FileNotFoundError:  # a run that goes on removes some
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def files_below(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yields the files below a folder; links are not followed, and what vanishes is left out."""
    waiting = [str(folder)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry
