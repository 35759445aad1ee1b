"""The same figures on any number of workers, however pictures are spread over them."""

import os
import random
import socket
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from service.detection.evaluation.average_precision import evaluate_detections
from service.detection.evaluation.detections import PictureDetections
from service.detection.evaluation.gathering import at_first_worker
from service.detection.evaluation.report import EvaluationReport

Scenes = tuple[dict[str, Any], list[PictureDetections]]
Shares = list[list[PictureDetections]]
REFUSED = "refused"


def _work(rank: int, ports: dict[int, int], truth: dict, cases: dict[str, Shares], folder: Path):  # noqa: ANN202
    """Evaluates one case after the other, as epochs do: first those of most workers."""
    torch.set_num_threads(1)
    for workers, port in ports.items():
        if rank >= workers:
            continue
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        dist.init_process_group("gloo", rank=rank, world_size=workers)
        for name, shares in cases.items():
            if len(shares) == workers:
                torch.save(_outcome(truth, shares[rank]), folder / f"{name}-{rank}.pt")
                ids = [one.picture_id for one in at_first_worker(shares[rank])]
                assert ids == [one.picture_id for own in shares for one in own] * (rank == 0)
        dist.destroy_process_group()


def _outcome(truth: dict, own: list[PictureDetections]) -> list:
    try:
        report = evaluate_detections(truth, own, kinds=["box", "mask"])
    except RuntimeError as error:
        return [REFUSED, str(error)]
    curves = [report.precision[kind].tolist() for kind in ("box", "mask")]
    return [report.figures, report.by_category, report.quality, report.warnings, curves]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _evaluate(truth: dict, cases: dict[str, Shares], folder: Path) -> dict[str, list[list]]:
    """Returns what each worker found, by case; starting processes once saves most of the time."""
    sizes = sorted({len(shares) for shares in cases.values()}, reverse=True)
    ports = {workers: _free_port() for workers in sizes}
    multiprocessing.spawn(_work, (ports, truth, cases, folder), nprocs=sizes[0])
    return {
        name: [
            torch.load(folder / f"{name}-{rank}.pt", weights_only=True)
            for rank in range(len(shares))
        ]
        for name, shares in cases.items()
    }


def _assert_same(report: EvaluationReport, rows: list) -> None:
    figures, by_category, quality, warnings, curves = rows
    assert figures == report.figures
    assert by_category == report.by_category
    assert quality == report.quality
    assert tuple(warnings) == report.warnings
    for kind, points in zip(("box", "mask"), curves, strict=True):
        np.testing.assert_array_equal(report.precision[kind], points)


def test_two_and_three_workers_find_what_one_finds_and_refuse_pictures_seen_twice_or_never(
    scenes: Scenes, tmp_path: Path
) -> None:
    truth, found = scenes
    alone = evaluate_detections(truth, found, kinds=["box", "mask"])
    shuffled = random.Random(1).sample(found, len(found))  # noqa: S311  # an order, no secret
    first, second = shuffled[::2], shuffled[1::2]
    same = {
        "two": [first, second],
        "three": [shuffled[rank::3] for rank in range(3)],
        "one of them without pictures": [shuffled[:7], [], shuffled[7:]],
    }
    refused = {
        "evaluated more than once": [first, [*second, first[0]]],
        "missing": [first[1:], second],
    }
    outcomes = _evaluate(truth, {**refused, **same}, tmp_path)
    for case in same:
        for rows in outcomes[case]:
            _assert_same(alone, rows)
    for case in refused:
        for outcome, line in outcomes[case]:
            assert outcome == REFUSED
            assert f"1 {case} (id {first[0].picture_id})" in line
