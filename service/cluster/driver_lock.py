"""One living driver for each run and each sweep: a lock file in its folder.

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
from service.config.errors import ConfigurationError, RunError
from service.storage.atomic import whole_file

_FILE = "driver.json"
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

    file: Path
    token: str

    def check(self) -> None:
        """Returns if the run is still this driver's; costs the reading of a small file.

        Raises:
            TakenOverError: Another driver goes on with it, or has done so.
        """
        driver = _read(self.file)
        if driver is not None and driver.token != self.token:
            raise TakenOverError(f"{self.file.parent}: now driven by {driver}; {_LOST}")
        if driver is None and not self.file.exists():
            raise TakenOverError(
                f"{self.file.parent}: driven by another process meanwhile; {_LOST}"
            )


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
    file, driver = folder / _FILE, _this_process(ray_job)
    _take(file, driver, what)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(file, driver.token, ended), daemon=True)
    beating.start()
    try:
        yield Claim(file, driver.token)
    finally:
        ended.set()
        beating.join()
        if _is_ours(file, driver.token):
            file.unlink(missing_ok=True)
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
    file = folder / _FILE
    left = file.read_bytes() if file.exists() else None
    beaten_at = _beaten_at(file)
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
    file = folder / _FILE
    driver, beaten_at = _read(file), _beaten_at(file)
    if driver is None or beaten_at is None:
        return None
    return driver if _lives(driver, time.time() - beaten_at) else None


def was_left(folder: Path) -> bool:
    """Tells whether a driver has the folder, or was killed before it gave it back."""
    return (folder / _FILE).exists()


def was_only_taken(folder: Path) -> bool:
    """Tells whether a driver took the folder and was killed before it wrote anything else."""
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {_FILE}


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


def _take(file: Path, driver: Driver, what: str) -> None:
    content = json.dumps(asdict(driver), indent=2)
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(content)
    except FileExistsError:
        _refuse_if_alive(file, what)
        with whole_file(file) as unfinished:
            unfinished.write_text(content, encoding="utf-8")
        # Of several that take over at the same time, the last one to write has it.
        time.sleep(_SETTLE_SECONDS)
        if not _is_ours(file, driver.token):
            _refuse_if_alive(file, what)


def _refuse_if_alive(file: Path, what: str) -> None:
    driver, age = _read(file), _seconds_since_beat(file)
    if driver is None:
        if age < _GONE_SECONDS:
            raise ConfigurationError(
                f"name: another process is just taking the {what} {file.parent.name}; if there is "
                f"none, delete {file}"
            )
    elif driver.place != _place() and age < _GONE_SECONDS:
        announce(f"waiting for a sign of life of {driver}, which has the {what}")
        if _shows_life(file):
            raise _refusal(file, driver, what)
    elif _lives(driver, age):
        raise _refusal(file, driver, what)


def _refusal(file: Path, driver: Driver, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"name: the {what} {file.parent.name} is driven by {driver}; stop that one first, or "
        "choose another name"
    )


def _shows_life(file: Path) -> bool:
    """Waits until a driver elsewhere shows a sign of life, or counts as gone."""
    before = _beaten_at(file)
    while _seconds_since_beat(file) < _GONE_SECONDS:
        if _beaten_at(file) not in (before, None):
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


def _seconds_since_beat(file: Path) -> float:
    """Returns the age of the last sign of life, by the clock of the storage."""
    probe = file.with_name(f".{uuid4().hex}-{_FILE}")
    probe.touch()
    try:
        beaten_at = _beaten_at(file)
        # None: given back meanwhile.
        return _GONE_SECONDS if beaten_at is None else max(0, probe.stat().st_mtime - beaten_at)
    finally:
        probe.unlink()


def _beaten_at(file: Path) -> float | None:
    try:
        # Opened, because over a network what is known of a file that is not opened may be old.
        with file.open("rb") as opened:
            return os.fstat(opened.fileno()).st_mtime
    except FileNotFoundError:
        return None


def _beat(file: Path, token: str, ended: threading.Event) -> None:
    while not ended.wait(_BEAT_SECONDS):
        # Storage that is away for a moment costs a beat, no more.
        with suppress(OSError):
            if _is_ours(file, token):
                os.utime(file)


def _is_ours(file: Path, token: str) -> bool:
    driver = _read(file)
    return driver is not None and driver.token == token


def _read(file: Path) -> Driver | None:
    """Returns the driver that a file names; None if it is not there or not readable."""
    try:
        return Driver(**json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
