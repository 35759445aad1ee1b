"""COCO's figures on several workers: ours against pycocotools in one process."""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from service.benchmark.arguments import positive
from service.benchmark.goals import times_as_fast
from service.benchmark.peers import figures_of, pycocotools_evaluation, quiet_truth
from service.benchmark.records import Record
from service.benchmark.scenes import (
    jittered_detections,
    made_up_truth,
    read_truth,
    repeated_truth,
)
from service.benchmark.timing import Prepared, alternate
from service.detection.evaluation.average_precision import Kind, evaluate_detections
from service.detection.evaluation.detections import PictureDetections
from service.detection.evaluation.results import coco_results

QUICK: tuple[str, ...] = ("--pictures", "600", "--rounds", "3")

_SEED = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of both ways")
    parser.add_argument("--pictures", type=positive, default=5000)
    parser.add_argument("--detections-per-picture", type=positive, default=50, help="mean")
    parser.add_argument("--workers", type=positive, default=2)
    parser.add_argument("--kind", choices=("box", "mask", "both"), default="both")
    parser.add_argument(
        "--annotations",
        type=Path,
        help="COCO annotation file, repeated up to --pictures; without, objects are made up",
    )


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    if options.annotations is None:
        truth = made_up_truth(options.pictures, _SEED)
    else:
        truth = repeated_truth(read_truth(options.annotations), options.pictures)
    kinds: tuple[Kind, ...] = ("box", "mask") if options.kind == "both" else (options.kind,)
    found = jittered_detections(truth, options.detections_per_picture, _SEED, masks="mask" in kinds)
    for kind in kinds:
        yield measure_evaluation(
            truth, found, kind=kind, workers=options.workers, rounds=options.rounds
        )


def measure_evaluation(
    truth: Mapping[str, Any],
    found: Sequence[PictureDetections],
    *,
    kind: Kind,
    workers: int,
    rounds: int,
) -> Record:
    """Measures from detections to figures; both start with the ground truth in memory.

    Args:
        truth: The COCO dictionary.
        found: The detections in all its pictures.
        kind: What is compared.
        workers: Processes that evaluate together; the peer has one.
        rounds: Rounds of both ways.
    """
    theirs: dict[str, float] = {}

    def peer() -> Prepared:
        coco, results = quiet_truth(truth), coco_results(found, kind)
        return lambda: theirs.update(figures_of(pycocotools_evaluation(coco, results, kind), kind))

    with _workers(truth, found, kind, workers) as connections:
        times = alternate(lambda: lambda: _evaluate(connections), peer, rounds=rounds, warm_up=0)
        ours = _evaluate(connections)
    same = sum(ours.get(name) == value for name, value in theirs.items())
    return Record(
        what=(
            f"COCO figures of {'boxes' if kind == 'box' else 'masks'}: {len(found)} pictures, "
            f"{sum(map(len, found))} detections, workers: {workers}"
        ),
        peer="pycocotools, one process",
        ours=times.ours,
        peers=times.peer,
        goal=times_as_fast(3),
        agreement=f"{same} of {len(theirs)} figures equal to the last digit",
    )


@contextmanager
def _workers(
    truth: Mapping[str, Any], found: Sequence[PictureDetections], kind: Kind, count: int
) -> Iterator[list[Connection]]:
    """Starts worker processes, each with its share of the pictures, and ends them at the end."""
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        connections: list[Connection] = []
        processes = []
        for rank in range(count):
            here, there = context.Pipe()
            task = (there, Path(folder) / "meeting", rank, count, truth, found[rank::count], kind)
            process = context.Process(target=_work, args=task, daemon=True)
            process.start()
            there.close()
            connections.append(here)
            processes.append(process)
        try:
            for connection in connections:
                connection.recv()  # it is ready
            yield connections
        finally:
            for connection in connections:
                connection.close()
            for process in processes:
                process.join()


def _evaluate(connections: Sequence[Connection]) -> dict[str, float]:
    """Lets all workers evaluate once and returns the figures they agree on."""
    for connection in connections:
        connection.send(True)
    first, *others = [connection.recv() for connection in connections]
    if any(other != first for other in others):
        raise RuntimeError("the workers found different figures")
    figures: dict[str, float] = first
    return figures


def _work(
    connection: Connection,
    meeting: Path,
    rank: int,
    count: int,
    truth: Mapping[str, Any],
    own: Sequence[PictureDetections],
    kind: Kind,
) -> None:
    """Evaluates whenever it is told to, until the connection closes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=count)
    connection.send(True)
    try:
        while connection.recv():
            connection.send(evaluate_detections(truth, own, kinds=[kind]).figures)
    except EOFError:
        pass  # the measurement has ended
    finally:
        dist.destroy_process_group()
