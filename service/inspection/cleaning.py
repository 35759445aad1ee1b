"""What can go from a storage folder, and letting it go.

A checkpoint goes only if its run would give it up itself, or the run ended early and long ago; the
best and the last one of a run stay, and so does any that something refers to. While a folder is
cleaned no driver can take it. Links are not followed.
"""

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.cluster.driver_lock import held, living_driver
from service.config.errors import ConfigurationError
from service.config.showing import one_line
from service.inspection.checkpoints import KeptCheckpoint, kept_checkpoints
from service.inspection.essentials import Essentials, essentials
from service.inspection.folders import DATASETS, WEIGHTS, Contents, Place, size_of
from service.inspection.references import References
from service.inspection.states import State, age, standing
from service.training.checkpoint_files import remove_checkpoint
from service.training.retention import checkpoint_folders, keep_best_and_last

_DAY = 86400.0
# What `whole_file`, `whole_folder`, a checkpoint's writer, `runs.record` and the driver's look at
# the storage's clock leave when they are killed.
_UNFINISHED = re.compile(
    r"\.\d+-[0-9a-f]{32}-.+|\.[0-9a-f]{32}-driver\.json|\.step_\d{8,}\.(?:unfinished|removed)"
    r"|\.config\.yaml\.unfinished"
)
_TUNE = ".tune"
_SAID = {"failed": "failed", "killed": "was killed", "interrupted": "was interrupted"}


@dataclass(frozen=True)
class Leaving:
    """A file or folder that can go."""

    path: Path
    """Where it is."""
    size: int
    """Bytes."""
    why: str
    """Why nobody needs it."""


@dataclass(frozen=True)
class Rules:
    """What decides."""

    references: References | None
    """What is referred to; None if that is not known, so that no checkpoint goes."""
    ended_early_days: float | None = None
    """Days after which a run that failed, was killed or interrupted keeps no more than its best and
    its last checkpoint; None: it keeps what its configuration says."""


@dataclass(frozen=True)
class Share:
    """What can go from one run, trial or sweep, or from beside them."""

    place: Place | None
    """Whose it is; None for what lies beside the runs."""
    leaving: list[Leaving]
    """What can go."""
    state: State = "unknown"
    """How the run stood when that was found."""


def shares(contents: Contents, places: Sequence[Place], rules: Rules) -> Iterator[Share]:
    """Yields what can go, share by share, what lies beside the runs last.

    Args:
        contents: What lies in the storage folder.
        places: Those of its runs that are looked at.
        rules: What decides.
    """
    for place in places:
        if driver_of(place) is None:
            state = standing(place).state
            yield Share(place, _share_of(place, state, rules), state)
    if len(places) == len(contents.places):
        yield Share(None, list(_beside(contents.storage, rules)))


def driver_of(place: Place) -> str | None:
    """Returns a line about the living driver of a run, which is left alone; None without one."""
    driver = living_driver(place.driven)
    return None if driver is None else f"{one_line(place.name)}: driven by {driver}; left alone"


def _share_of(place: Place, state: State, rules: Rules) -> list[Leaving]:
    """Returns what can go from a run, a trial, or from a sweep beside its trials."""
    found = list(_unfinished(place.folder))
    if place.kind == "sweep":
        tune = place.folder / _TUNE
        if tune.is_dir() and not tune.is_symlink():
            found.append(Leaving(tune, size_of(tune), "Ray Tune's, of a sweep that does not run"))
        return found
    return found + list(_checkpoints(place, state, rules))


def delete(storage: Path, share: Share, rules: Rules) -> Iterator[tuple[Leaving, str | None]]:
    """Deletes a share, which is looked for again while no driver can take its run.

    Yields:
        What was to go, and None if it is gone or the reason why it is not.

    Raises:
        ConfigurationError: A driver has the run; nothing of the share is deleted.
    """
    if share.place is None:
        yield from [(one, _gone(storage, one.path)) for one in share.leaving]
        return
    with held(share.place.driven, "run" if share.place.kind == "run" else "sweep"):
        # Taken by this process, it counts as running: how it stood was looked at before.
        left = _share_of(share.place, share.state, rules)
        yield from [(one, _gone(storage, one.path)) for one in left]


def _gone(storage: Path, path: Path) -> str | None:
    """Deletes a file or folder; returns why it could not."""
    if path.is_symlink() or not path.parent.resolve().is_relative_to(storage.resolve()):
        return "is a link, or lies behind one"
    try:
        if not path.is_dir():
            path.unlink(missing_ok=True)
        elif path.name.startswith("step_"):
            remove_checkpoint(path)
        else:
            shutil.rmtree(path)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _unfinished(folder: Path) -> Iterator[Leaving]:
    """Yields what killed writers left at any depth; checkpoints and links are not looked into."""
    for path in sorted(_entries(folder)):
        if path.is_symlink():
            continue
        if _UNFINISHED.fullmatch(path.name):
            yield Leaving(path, size_of(path), "left by an interrupted write")
        elif path.is_dir() and not path.name.startswith(("step_", "trial_", _TUNE)):
            yield from _unfinished(path)


def _checkpoints(place: Place, state: State, rules: Rules) -> Iterator[Leaving]:
    if rules.references is None or (place.folder / "turns").exists():
        return  # of a steered run the last one need not be that of the most steps
    try:
        needed = essentials(place)
    except ConfigurationError:
        return  # which of them is the best cannot be known
    early = state in _SAID and _long_ago(place, rules)
    for kept in _given_up(place.folder, needed, 1 if early else needed.keep):
        if not rules.references.name(kept.folder):
            why = f"of a run that {_SAID[state]}, " if early else ""
            size = size_of(kept.folder)
            yield Leaving(kept.folder, size, f"{why}neither the last nor among the best")


def _given_up(folder: Path, needed: Essentials, keep: int) -> list[KeptCheckpoint]:
    """Returns the checkpoints that a run would give up; one whose figures are lost is kept."""
    if any(path.is_symlink() for path in checkpoint_folders(folder)):
        return []  # the last or the best may be one that lies elsewhere
    given_up = set(keep_best_and_last(folder, needed.metric, needed.mode, keep))
    return [one for one in kept_checkpoints(folder) if one.folder in given_up and one.metrics]


def _long_ago(place: Place, rules: Rules) -> bool:
    days, since = rules.ended_early_days, age(standing(place).seen)
    return days is not None and since is not None and since > days * _DAY


def _beside(storage: Path, rules: Rules) -> Iterator[Leaving]:
    """Yields what lies beside the runs; whoever writes there holds no lock, so it must be old."""
    for folder in (storage, storage / DATASETS, storage / WEIGHTS):
        if folder.is_symlink():
            continue
        for path in sorted(_entries(folder)):
            if _is_old(path) and _UNFINISHED.fullmatch(path.name):
                yield Leaving(path, size_of(path), "left by an interrupted write")
    fetched = storage / WEIGHTS
    if rules.references is None or fetched.is_symlink():
        return
    for path in sorted(_entries(fetched)):
        is_fetched = re.fullmatch(r"[0-9a-f]{16}", path.name) and path.is_dir()
        if is_fetched and _is_old(path) and not rules.references.name_fetched(path):
            yield Leaving(path, size_of(path), "fetched weights that no run began with")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_old(path: Path) -> bool:
    """Tells whether a file or folder is none of today's; a link is never old."""
    try:
        return not path.is_symlink() and time.time() - path.stat().st_mtime > _DAY
    except OSError:
        return False
