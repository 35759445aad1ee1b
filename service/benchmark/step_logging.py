"""Five metrics a step to a server over HTTP: ours against MLflow's asynchronous logging.

The step is a product of matrices that keeps the processor busy for some milliseconds and pushes
everything else out of its caches, as a step of training does.
"""

import argparse
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

import torch

from service.benchmark.arguments import positive
from service.benchmark.goals import at_most, share
from service.benchmark.mlflow_peer import AsynchronousLogging, history
from service.benchmark.records import Record
from service.config.errors import ConfigurationError
from service.tracking.address import reachable
from service.tracking.client import set_defaults
from service.tracking.request import RunRequest
from service.tracking.tracker import RunTracker, start_run

QUICK: tuple[str, ...] = ("--rounds", "2", "--steps", "200")

_SIDE = 900
_PATIENCE = 60.0
_PEER = "MLflow's asynchronous logging"


class _Log(Protocol):
    @property
    def log(self) -> Callable[[int, Mapping[str, float]], None]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class _Loop:
    """What a loop of steps cost."""

    blocked: float
    """Milliseconds of a call, the median."""
    wall: float
    """Milliseconds of a step, until the server has everything."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=5, help="loops of each kind")
    parser.add_argument("--steps", type=positive, default=300, help="steps of a loop")


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    set_defaults()
    with tempfile.TemporaryDirectory(prefix="logging-") as folder, _server(Path(folder)) as uri:
        numbers = itertools.count()
        ways = (
            lambda: _Nothing(),
            lambda: _Ours(Path(folder) / f"run{next(numbers)}", uri),
            lambda: AsynchronousLogging(uri, "benchmark"),
        )
        rounds = [[_loop(way(), options.steps) for way in ways] for _ in range(options.rounds + 1)]
        same = _agreement(Path(folder) / "same", uri)
    _, own, peers = zip(*rounds[1:], strict=True)
    yield Record(
        what="training held up by logging 5 metrics a step over HTTP",
        peer=_PEER,
        ours=tuple(loop.blocked for loop in own),
        peers=tuple(loop.blocked for loop in peers),
        goal=at_most(0.05),
        agreement=same,
        unit="ms",
    )
    yield Record(
        what="time that logging 5 metrics a step over HTTP adds to a step",
        peer=_PEER,
        ours=tuple(_added(loop, without) for without, loop, _ in rounds[1:]),
        peers=tuple(_added(loop, without) for without, _, loop in rounds[1:]),
        goal=share(0.1),
        agreement=same,
        unit="ms",
    )


def _added(loop: _Loop, without: _Loop) -> float:
    # On a machine that does other things as well a loop without logging may take longer.
    return max(loop.wall - without.wall, 0.001)


class _Nothing:
    """Logs nothing."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class _Ours:
    """A run of this service's."""

    def __init__(self, folder: Path, uri: str) -> None:
        request = RunRequest(uri, "benchmark", folder.name, folder.name, "")
        started = start_run(folder, request)
        if started is None:
            raise ConfigurationError(f"{uri}: MLflow's server takes no run")
        self.run_id = started.run_id
        self._tracker = RunTracker(folder, request, run_id=self.run_id)
        self.log = self._tracker.log

    def close(self) -> None:
        """Returns once everything is on the server."""
        if self._tracker.close(_PATIENCE):
            raise ConfigurationError(f"MLflow's server did not answer within {_PATIENCE:g} s")


def _loop(log: _Log, steps: int) -> _Loop:
    matrix = torch.rand(_SIDE, _SIDE)
    blocked = []
    began = time.perf_counter()
    for step in range(1, steps + 1):
        torch.mm(matrix, matrix)
        metrics = _metrics(step)
        start = time.perf_counter()
        log.log(step, metrics)
        blocked.append(time.perf_counter() - start)
    log.close()
    return _Loop(1000 * median(blocked), 1000 * (time.perf_counter() - began) / steps)


def _metrics(step: int) -> dict[str, float]:
    return {f"train/metric{number}": step / (number + 3) for number in range(5)}


def _agreement(folder: Path, uri: str) -> str:
    """Returns how many values of a short loop are the same on the server, whichever way."""
    peer, own = AsynchronousLogging(uri, "benchmark"), _Ours(folder, uri)
    for log in (peer, own):
        for step in range(1, 21):
            log.log(step, _metrics(step))
        log.close()
    theirs, ours = history(uri, peer.run_id), history(uri, own.run_id)
    # The first answer after a write may still be without it.
    last = next(reversed(_metrics(1)))
    _wait_for(lambda: bool(theirs(last)) and bool(ours(last)), "did not show what it took")
    # A set: what MLflow sends again after a slow answer stands there twice.
    same = sum(len(set(theirs(name)) & set(ours(name))) for name in _metrics(1))
    return f"{same} of 100 values on the server equal"


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """Runs MLflow's server on a database of its own and returns its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri, store = f"http://127.0.0.1:{port}", f"sqlite:///{folder / 'mlflow.db'}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--port", str(port), "--workers", "1"]
    with subprocess.Popen(  # noqa: S603  # MLflow's own program
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            _wait_for(lambda: reachable(uri) is None, "did not start")
            yield uri
        finally:
            # Its own workers are processes too.
            os.killpg(server.pid, signal.SIGTERM)


def _wait_for(condition: Callable[[], bool], problem: str) -> None:
    until = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise ConfigurationError(f"MLflow's server {problem} within {_PATIENCE:g} s")
        time.sleep(0.1)
