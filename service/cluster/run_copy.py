"""A run's folder on a machine, where its storage is an object store: who brings what, and when.

Each file has one writer at a time. The driver writes configuration and requests, rank 0 journals,
pictures and checkpoints, one worker of each node the journal of its load. Each of them has a mirror
that brings what it writes to the store and, on other machines than the writer's, what it reads.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from service.cluster.console import announce
from service.cluster.driver_lock import TakenOverError
from service.cluster.driver_marks import is_mark
from service.cluster.job import Job, stop_file
from service.cluster.runs import CONFIG
from service.cluster.watchdog import STACKS
from service.storage.growing import bring_lines
from service.storage.mirror import Mirror
from service.storage.working_copy import alone, bring, bring_all, place_of
from service.tracking.address import database_path, is_sqlite
from service.tracking.artifacts import ARTIFACTS, ARTIFACTS_JOURNAL
from service.tracking.delivery import kept_already
from service.tracking.journal import METRICS_JOURNAL, system_journal
from service.tracking.outbox import CURSOR, undelivered_files
from service.tracking.used import USED
from service.training.stored_checkpoints import bring_small_files, withdraw_unfinished

_LINES = ".jsonl"
_DRIVERS = (CONFIG, USED, stop_file(Path()).name)
_SWEEPS = ("*.yaml", "trials.jsonl", "report/*")
_RECORDS = (
    f"{ARTIFACTS}/**/*",
    "detections_*.json",
    METRICS_JOURNAL,
    ARTIFACTS_JOURNAL,
    USED,
    CURSOR,
)


def bring_run(folder: Path) -> None:
    """Brings what the store has of a run, as far as a process needs it that goes on.

    These are its journals, its small files, those of its checkpoints, and the files that MLflow has
    not got yet.

    Args:
        folder: The run's folder; one in no copy is what it should be.

    Raises:
        OSError: The store cannot be read.
    """
    place = place_of(folder)
    if place is None:
        return
    store, name = place
    with alone(folder):
        for entry, record in store.entries(name).items():
            if entry.endswith(_LINES):
                bring_lines(store, f"{name}/{entry}", folder / entry)
            elif record is not None and not is_mark(entry) and not entry.startswith("."):
                store.download(f"{name}/{entry}", folder / entry)
    bring_small_files(folder)
    for file in undelivered_files(folder):
        if not (folder / ARTIFACTS / file).exists():
            bring(folder / ARTIFACTS / file)


def begin_copy(folder: Path) -> None:
    """Makes a run's folder what the store has of it, before anything is written there.

    What the store does not have, goes: it is of another run of this name, or was lost to one that
    went on elsewhere.

    Args:
        folder: The run's folder; one in no copy is what it should be.

    Raises:
        OSError: The store cannot be read.
    """
    place = place_of(folder)
    if place is None:
        return
    known = place.store.entries(place.name)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in known and path.name != STACKS and not path.name.startswith("."):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if known:
        bring_run(folder)


def say_what_stays_here(uri: str | None, storage: Path) -> None:
    """Tells where MLflow's database is, if it lies beside copies of what lies in a store.

    Args:
        uri: Resolved tracking URI, if MLflow is used.
        storage: The folder of all runs.
    """
    if uri is not None and is_sqlite(uri) and place_of(database_path(uri)) is not None:
        announce(
            f"MLflow's database stays on this machine, in {storage}; for one that all see, set "
            "MLFLOW_TRACKING_URI to a server's address"
        )


def drivers_mirror(job: Job, *, alone: bool) -> AbstractContextManager[object]:
    """Returns what keeps a driver's folder and the store alike while the run goes on.

    Args:
        job: The run.
        alone: Whether all workers are on the driver's machine, and write into the same folder.
    """
    if place_of(job.folder) is None:
        return nullcontext()
    job.settle_here()
    theirs = () if alone else (METRICS_JOURNAL,)
    return Mirror(job.folder, _DRIVERS, theirs, job.check_claim)


def sweeps_mirror(folder: Path, check: Callable[[], None]) -> Mirror | None:
    """Returns what brings a sweep's own files to the store; None where its folder is no copy.

    Args:
        folder: The sweep's folder; those of its trials have mirrors of their own.
        check: Raises where the sweep is no longer this process's.
    """
    if place_of(folder) is None:
        return None
    return Mirror(folder, (*_SWEEPS, *_RECORDS), check=check)


@contextmanager
def gathered(job: Job) -> Iterator[Callable[[], None]]:
    """Brings to the driver's folder what workers on other machines left of a run that has ended.

    A store that does not answer is warned of: what lies here has to do.

    Args:
        job: The run.

    Yields:
        What brings the records that the driver delivers, and how far it came, to the store.
    """
    if place_of(job.folder) is None:
        yield kept_already
        return
    mirror = Mirror(job.folder, _RECORDS, check=job.check_claim)
    try:
        bring_run(job.folder)
        bring_all(job.folder / STACKS)
    except OSError as error:
        announce(f"warning: {error}; what follows is what this machine knows of the run")
    yield mirror.push
    try:
        mirror.push()
    except (OSError, TakenOverError) as error:
        announce(f"warning: {error}")


def workers_mirror(
    job: Job, tell: Callable[[str], None], load: str | None, *, leads_run: bool
) -> Mirror | None:
    """Prepares a worker's folder for what it writes, and returns what brings that to the store.

    Args:
        job: The run.
        tell: Takes a line for people; called in a thread.
        load: Journal of its machine's load, if it writes it.
        leads_run: Whether it records the run: rank 0.

    Raises:
        OSError: The store cannot be read.
    """
    if place_of(job.folder) is None or not (leads_run or load):
        return None
    elsewhere = not job.is_here
    if elsewhere:
        begin_copy(job.folder)
    else:
        # Rank 0 may have been on another machine before.
        bring_run(job.folder)
    mine: tuple[str, ...] = (load,) if load else ()
    theirs: tuple[str, ...] = ()
    if leads_run:
        withdraw_unfinished(job.folder)
        mine = (*_RECORDS, *mine)
        theirs = (system_journal("*"), stop_file(Path()).name) if elsewhere else ()
    return Mirror(job.folder, mine, theirs, job.check_claim, tell)
