"""One living driver for each run and each sweep: a lock file in its folder, or in its store.

On one machine the process tells whether it lives. Elsewhere a sign of life must do: the driver
touches its file every few seconds, and one that has not for a minute counts as gone. A new driver
waits for that, so that a job which is started again on another machine goes on by itself.

A killed driver's workers outlive it by seconds, and a suspended one wakes up. So they ask, before
they write, whether the file still names their driver.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import psutil

from service.cluster.console import announce
from service.cluster.driver_marks import FILE, Mark, is_mark, mark_of
from service.config.errors import ConfigurationError, RunError
from service.storage.atomic import whole_file
from service.storage.working_copy import place_of, told

_BEAT_SECONDS = 10.0
_GONE_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_SETTLE_SECONDS = 0.5
_LOST = "this one counted as gone and writes nothing more"


class TakenOverError(RunError):
    """Another driver goes on with the run; this one has lost it and writes nothing more."""


@dataclass(frozen=True)
class Driver:
    """Who drives a run."""

    token: str
    """Different for every driver."""
    host: str
    pid: int
    place: str
    """Where `pid` means something: the machine since its last start, and its space of ids."""
    began: float
    """When the process began, seconds since 1970."""
    since: str
    """When it took the run, for people."""
    ray_job: str | None
    """Ray's name for the submitted job, if it is one."""

    def __str__(self) -> str:
        job = f", Ray job {self.ray_job}" if self.ray_job else ""
        return f"process {self.pid} on {self.host} since {self.since}{job}"


@dataclass(frozen=True)
class Claim:
    """A driver's right to a run, as it hands it to its workers."""

    folder: Path
    """The folder, on the driver's machine."""
    mark: Mark
    """Where it stands who has it."""
    token: str

    def check(self) -> None:
        """Returns if the run is still this driver's; costs the reading of a small file or object.

        Raises:
            TakenOverError: Another driver goes on with it, or has done so.
            OSError: The storage does not answer.
        """
        content = self.mark.read()
        if content is None:
            raise TakenOverError(
                f"{told(self.folder)}: driven by another process meanwhile; {_LOST}"
            )
        driver = _parsed(content)
        if driver is not None and driver.token != self.token:
            raise TakenOverError(f"{told(self.folder)}: now driven by {driver}; {_LOST}")


@contextmanager
def only_driver(folder: Path, what: str, ray_job: str | None = None) -> Iterator[Claim]:
    """Makes this process the driver of what lies in a folder, for as long as the context lasts.

    Args:
        folder: Folder of the run or sweep; it is made if it is not there.
        what: What it holds, as messages say it: "run" or "sweep".
        ray_job: Ray's name for the job this process runs in.

    It may take a minute to see whether a driver on another machine lives.

    Raises:
        ConfigurationError: Another driver lives; the message names it.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    mark, driver = mark_of(folder), _this_process(ray_job)
    _take(mark, driver, folder, what)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(mark, driver.token, ended), daemon=True)
    beating.start()
    try:
        yield Claim(folder, mark, driver.token)
    finally:
        ended.set()
        beating.join()
        if _is_ours(mark, driver.token):
            mark.remove(driver.token)
        if made:
            with suppress(OSError):  # not empty where something was started
                folder.rmdir()


@contextmanager
def held(folder: Path, what: str) -> Iterator[None]:
    """Keeps drivers away from a folder for a moment; afterwards it looks as it did before.

    What a killed driver left tells that its run was interrupted, and is put back.

    Args:
        folder: Folder of the run or sweep, which exists.
        what: What it holds, as messages say it: "run" or "sweep".

    Raises:
        ConfigurationError: Another driver lives; the message names it.
    """
    file, mark = folder / FILE, mark_of(folder)
    left, beaten_at = mark.read(), mark.beaten_at()
    with only_driver(folder, what):
        try:
            yield
        finally:
            if left is not None and beaten_at is not None:
                with whole_file(file) as unfinished:
                    unfinished.write_bytes(left)
                    # No sign of life.
                    os.utime(unfinished, (beaten_at, beaten_at))


def living_driver(folder: Path) -> Driver | None:
    """Returns who drives what lies in a folder, as far as a look at it tells.

    It neither writes nor waits: a driver on another machine whose clock is a minute behind may seem
    gone. Whoever changes the folder takes it with `held`.
    """
    mark = mark_of(folder)
    driver, beaten_at = _read(mark), mark.beaten_at()
    if driver is None or beaten_at is None:
        return None
    return driver if _lives(driver, time.time() - beaten_at) else None


def was_left(folder: Path) -> bool:
    """Tells whether a driver has the folder, or was killed before it gave it back."""
    return mark_of(folder).read() is not None


def was_only_taken(folder: Path) -> bool:
    """Tells whether a driver took the folder and was killed before it wrote anything else."""
    place = place_of(folder)
    if place is not None:
        return all(map(is_mark, place.store.entries(place.name)))
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {FILE}


def _this_process(ray_job: str | None) -> Driver:
    return Driver(
        token=uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        place=_place(),
        began=psutil.Process().create_time(),
        since=time.strftime("%Y-%m-%d %H:%M:%S"),
        ray_job=ray_job,
    )


def _place() -> str:
    parts = [socket.gethostname()]
    with suppress(OSError):  # not on every system
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _take(mark: Mark, driver: Driver, folder: Path, what: str) -> None:
    content = json.dumps(asdict(driver), indent=2).encode()
    if mark.create(content):
        return
    if not _is_ours(mark, driver.token):  # it is where the answer to a first request was lost
        _refuse_if_alive(mark, folder, what)
        mark.replace(content)
        # Of several that take over at the same time, the last one to write has it.
        time.sleep(_SETTLE_SECONDS)
        if not _is_ours(mark, driver.token):
            _refuse_if_alive(mark, folder, what)


def _refuse_if_alive(mark: Mark, folder: Path, what: str) -> None:
    driver, age = _read(mark), _seconds_since_beat(mark)
    if driver is None:
        if age < _GONE_SECONDS:
            raise ConfigurationError(
                f"name: another process is just taking the {what} {folder.name}; if there is "
                f"none, delete {mark.where}"
            )
    elif driver.place != _place() and age < _GONE_SECONDS:
        announce(f"waiting for a sign of life of {driver}, which has the {what}")
        if _shows_life(mark):
            raise _refusal(folder, driver, what)
    elif _lives(driver, age):
        raise _refusal(folder, driver, what)


def _refusal(folder: Path, driver: Driver, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"name: the {what} {folder.name} is driven by {driver}; stop that one first, or "
        "choose another name"
    )


def _shows_life(mark: Mark) -> bool:
    """Waits until a driver elsewhere shows a sign of life, or counts as gone."""
    before = mark.beaten_at()
    while _seconds_since_beat(mark) < _GONE_SECONDS:
        if mark.beaten_at() not in (before, None):
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def _lives(driver: Driver, age: float) -> bool:
    beats = age < _GONE_SECONDS
    if driver.place != _place():
        return beats
    try:
        process = psutil.Process(driver.pid)
        same = abs(process.create_time() - driver.began) < 2
        ended = process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    # A clock that was set shifts the times at which processes began.
    return not ended and (same or beats)


def _seconds_since_beat(mark: Mark) -> float:
    """Returns the age of the last sign of life, by the clock of the storage."""
    beaten_at = mark.beaten_at()
    # None: given back meanwhile.
    return _GONE_SECONDS if beaten_at is None else max(0, mark.now() - beaten_at)


def _beat(mark: Mark, token: str, ended: threading.Event) -> None:
    while not ended.wait(_BEAT_SECONDS):
        # Storage that is away for a moment costs a beat, no more.
        with suppress(OSError):
            if _is_ours(mark, token):
                mark.beat(token)


def _is_ours(mark: Mark, token: str) -> bool:
    driver = _read(mark)
    return driver is not None and driver.token == token


def _read(mark: Mark) -> Driver | None:
    """Returns the driver that a mark names; None if there is none or it is not readable."""
    content = mark.read()
    return None if content is None else _parsed(content)


def _parsed(content: bytes) -> Driver | None:
    try:
        return Driver(**json.loads(content))
    except (ValueError, TypeError):
        return None
