"""Batches from two loading processes: ours against torchvision's and timm's loaders.

Each way runs in a process of its own, as in training: the loading processes are its children, and
the memory is that of all of them together.
"""

import argparse
import importlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import torch

from service.benchmark.arguments import positive
from service.benchmark.goals import Goal, at_most, share, times_as_fast
from service.benchmark.photographs import photographs, tree_of
from service.benchmark.picture_peers import timm_loader, torchvision_loader
from service.benchmark.records import Record
from service.config.data import PicturesConfig, TrainPicturesConfig
from service.data.folder import list_folder
from service.data.loading import training_batches
from service.data.normalization import Normalization
from service.data.order import SampleOrder
from service.data.rectangles import decodes_rectangles

QUICK: tuple[str, ...] = ("--pictures", "3600", "--rounds", "2")

_LOOKS = 2  # at the memory
_AHEAD = 4  # batches that a loading process has ready


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=3, help="rounds of all ways")
    parser.add_argument("--pictures", type=positive, default=4800, help="of a round")
    parser.add_argument("--batch-size", type=positive, default=64)
    parser.add_argument("--processes", type=positive, default=2, help="that load")
    parser.add_argument(
        "--root", type=Path, help="folder of JPEG files; without, pictures are drawn"
    )


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    with tempfile.TemporaryDirectory() as scratch:
        files = photographs(options.root, options.pictures, Path(scratch))
        task = _Task(
            str(tree_of(files, Path(scratch, "tree"))),
            PicturesConfig().train.size,
            options.batch_size,
            options.processes,
            max(1, options.pictures // options.batch_size // _LOOKS - _AHEAD * options.processes),
        )
        rounds = [
            {name: _in_a_process(name, task) for name in _turned(number)}
            for number in range(options.rounds)
        ]
    what = (
        f"normalised batches of {options.batch_size}, loading processes: {options.processes}, "
        f"{'the rectangle alone is' if decodes_rectangles() else 'all is'} decoded"
    )
    for peer, goal in (("torchvision", times_as_fast(1.8)), ("timm", times_as_fast(1.3))):
        if peer in rounds[0]:
            yield _record(f"{what}: seconds a picture", peer, rounds, _Figures.seconds, goal, "s")
    yield _record(f"{what}: first batch", "", rounds, _Figures.first, at_most(0.5), "s")
    if all(one.memory for round_ in rounds for one in round_.values()):
        peak = f"{what}: peak memory (PSS)"
        yield _record(peak, "torchvision", rounds, _Figures.mebibytes, share(1.0), "MiB")


@dataclass(frozen=True)
class _Task:
    """What all ways do."""

    folder: str
    size: int
    batch_size: int
    processes: int
    batches: int
    """Counted between two looks at the memory."""


@dataclass(frozen=True)
class _Figures:
    """What one way took."""

    first_batch: float
    """Seconds from the start of loading."""
    each: float
    """Seconds a picture after that, with full queues."""
    memory: int
    """Largest proportional set size of all its processes with full queues, bytes; 0 where it is
    not known."""

    def seconds(self) -> float:
        """Returns seconds a picture."""
        return self.each

    def first(self) -> float:
        """Returns seconds to the first batch."""
        return self.first_batch

    def mebibytes(self) -> float:
        """Returns the memory."""
        return self.memory / 2**20


def _record(
    what: str,
    peer: str,
    rounds: list[dict[str, _Figures]],
    figure: Callable[[_Figures], float],
    goal: Goal,
    unit: str,
) -> Record:
    names = {"torchvision": "torchvision's ImageFolder in a DataLoader", "timm": "timm's loader"}
    return Record(
        what=what,
        peer=names.get(peer, ""),
        ours=tuple(figure(one["ours"]) for one in rounds),
        peers=tuple(figure(one[peer]) for one in rounds) if peer else (),
        goal=goal,
        agreement="other draws, of the same distribution; pixels as in `pictures`",
        unit=unit,
    )


def _ours(task: _Task) -> Iterator[Any]:
    config = PicturesConfig(train=TrainPicturesConfig(size=task.size))
    pictures = list_folder(Path(task.folder))
    normalization = Normalization(config.mean, config.std)
    batches = training_batches(
        pictures,
        config,
        SampleOrder(len(pictures), 0),
        start=0,
        batch_size=task.batch_size,
        accumulation=1,
        rank=0,
        world_size=1,
        loading_processes=task.processes,
    )
    for batch in batches:
        yield normalization(batch.pictures, memory_format=torch.channels_last)


def _of_peer(loader: Callable[..., Iterable[Any]], task: _Task) -> Iterator[Any]:
    return iter(loader(Path(task.folder), task.size, task.batch_size, task.processes))


_WAYS: dict[str, Callable[[_Task], Iterator[Any]]] = {
    "ours": _ours,
    "torchvision": lambda task: _of_peer(torchvision_loader, task),
    "timm": lambda task: _of_peer(timm_loader, task),
}


def _turned(number: int) -> list[str]:
    """Returns the ways that are installed, in an order that differs from round to round."""
    names = [name for name in _WAYS if name != "timm" or find_spec("timm") is not None]
    return names[number % len(names) :] + names[: number % len(names)]


def _in_a_process(name: str, task: _Task) -> _Figures:
    """Runs one way in a fresh process and watches its memory."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, name, task))
    process.start()
    there.close()
    memory = []
    try:
        for _ in range(_LOOKS):
            here.recv()
            memory.append(_memory(process.pid))
            here.send(None)
        first, each = here.recv()
    finally:
        process.join()
    return _Figures(first, each, max(memory))


def _work(connection: Connection, name: str, task: _Task) -> None:
    torch.set_num_threads(1)
    # Else the loading processes would be started as this one was, and import all there is.
    set_start_method("fork", force=True)
    if name == "timm":
        importlib.import_module("timm.data")  # is no part of its first batch
    start = time.perf_counter()
    batches = _WAYS[name](task)
    for _ in itertools.islice(batches, 1):
        first = time.perf_counter() - start
    seconds = 0.0
    counted = 0
    for _ in range(_LOOKS):
        # A look takes so long that it would disturb the clock, and queues fill meanwhile: what was
        # prepared ahead while nobody waited is no part of the speed.
        connection.send(None)
        connection.recv()
        for _ in itertools.islice(batches, _AHEAD * task.processes):
            pass
        start = time.perf_counter()
        counted += sum(1 for _ in itertools.islice(batches, task.batches))
        seconds += time.perf_counter() - start
    connection.send((first, seconds / (counted * task.batch_size)))


def _memory(pid: int | None) -> int:
    """Returns the proportional set size of a process and its children; 0 where unknown."""
    total = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for process in processes:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except (OSError, psutil.Error):
        # One of them has just ended, or this is no Linux.
        return 0
    return total
