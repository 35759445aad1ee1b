"""How much of the exchange of gradients hides behind the backward pass: a profile of DDP over gloo.

Each worker computes on the cores that also send; a network of its own would hide more. What is left
is what follows the last layer's gradient: its share of the gradient can only be sent then.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from service.benchmark.arguments import positive
from service.benchmark.goals import share
from service.benchmark.network_steps import CLASSES, residual_network
from service.benchmark.records import Record
from service.config.regularizer import ShakeDropConfig
from service.config.training import TrainingConfig
from service.training.wrapping import wrap

QUICK: tuple[str, ...] = ("--rounds", "5", "--depth", "18")

Span = tuple[float, float]
"""Beginning and end, in microseconds."""


@dataclass(frozen=True)
class Setting:
    """What is profiled."""

    workers: int
    """Processes that train together."""
    rounds: int
    """Steps."""
    depth: int
    """Of the ResNet."""
    batch: int
    """Pictures of each worker."""
    side: int
    """Of a picture, pixels."""


_SENT = "gloo:all_reduce"
_COMPUTED = "autograd::engine::evaluate_function"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's setting."""
    parser.add_argument("--rounds", type=positive, default=15, help="steps")
    parser.add_argument("--workers", type=positive, default=2)
    parser.add_argument("--depth", type=int, choices=(18, 34, 50, 101, 152), default=50)
    parser.add_argument("--batch", type=positive, default=8, help="of each worker")
    parser.add_argument("--side", type=positive, default=96, help="of a picture, pixels")


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    setting = Setting(options.workers, options.rounds, options.depth, options.batch, options.side)
    yield measure_overlap(setting)


def measure_overlap(setting: Setting) -> Record:
    """Profiles some steps of workers that train together."""
    # The profiler tells of each beginning and end, and that there is no GPU.
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    with tempfile.TemporaryDirectory(prefix="overlap-") as folder:
        multiprocessing.spawn(  # type: ignore[no-untyped-call, attr-defined]  # torch's
            _work, (Path(folder), setting), nprocs=setting.workers
        )
        steps: list[dict[str, list[Span]]] = json.loads(_result(Path(folder)).read_text())
    sent = [length(step["sent"]) for step in steps]
    after = [length(step["sent"]) - shared(step["sent"], step["computed"]) for step in steps]
    count = len(steps[0]["sent"])
    return Record(
        what=f"all-reduces outside the backward pass, ResNet-{setting.depth} on "
        f"{setting.workers} workers over gloo",
        peer="the time of all of them",
        ours=tuple(microseconds / 1e6 for microseconds in after),
        peers=tuple(microseconds / 1e6 for microseconds in sent),
        goal=share(0.5),
        agreement=f"{count} all-reduces a step, as a profile shows them",
    )


def _work(rank: int, folder: Path, setting: Setting) -> None:
    """Takes some steps as one of the workers; the first one profiles them."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", f"file://{folder}/meeting", rank=rank, world_size=setting.workers
    )
    network = wrap(residual_network(setting.depth, ShakeDropConfig()), TrainingConfig())
    pictures = torch.randn(setting.batch, 3, setting.side, setting.side)
    labels = torch.randint(CLASSES, (setting.batch,))

    def step() -> None:
        network.zero_grad(set_to_none=True)
        torch.autograd.backward(F.cross_entropy(network(pictures), labels))

    # After the first step DDP orders its buckets as gradients come.
    for _ in range(2):
        step()
    steps = []
    for _ in range(setting.rounds):
        dist.barrier()
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            step()
        steps.append(
            {
                "sent": list(_spans(profiler, _SENT)),
                "computed": list(_spans(profiler, _COMPUTED)),
            }
        )
    if rank == 0:
        _result(folder).write_text(json.dumps(steps))
    dist.destroy_process_group()


def _result(folder: Path) -> Path:
    return folder / "steps.json"


def _spans(profiler: profile, name: str) -> Iterator[Span]:
    """Yields when what is called so was done."""
    for event in profiler.events():  # type: ignore[no-untyped-call]  # torch's
        if event.name.startswith(name):
            yield event.time_range.start, event.time_range.end


def length(spans: Iterable[Span]) -> float:
    """Returns how long at least one of the spans lasts."""
    return sum(end - start for start, end in _united(spans))


def shared(spans: Sequence[Span], others: Sequence[Span]) -> float:
    """Returns how long at least one of the spans and at least one of the others last together."""
    return length(spans) + length(others) - length([*spans, *others])


def _united(spans: Iterable[Span]) -> list[Span]:
    """Returns spans without overlap that cover the same, in order."""
    united: list[Span] = []
    for start, end in sorted(spans):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(united[-1][1], end))
        else:
            united.append((start, end))
    return united
