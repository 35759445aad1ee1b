"""One training step under the service against the same network in a bare loop of torch's.

Ours is what a lone worker of a process group runs: the guard against losses that are not finite,
the gradient's norm, sums of the metrics on the device, and every 20 steps their reading and handing
over to tracking.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from service.benchmark.arguments import positive
from service.benchmark.goals import share
from service.benchmark.records import Record
from service.benchmark.timing import alternate
from service.config.model import ResNetConfig
from service.config.optimization import SGDConfig
from service.config.regularizer import PlainSumConfig
from service.config.training import CheckpointConfig, TrainingConfig
from service.models.build import build_network
from service.tracking.tracker import RunTracker
from service.training.local import LocalWorker
from service.training.state import TrainingState
from service.training.step import TrainingStep
from service.training.task import Task
from service.training.wrapping import wrap

QUICK: tuple[str, ...] = ("--rounds", "7", "--steps", "1", "--depth", "18", "--size", "64")

_CLASSES = 1000
_LOG_EVERY = 20
_OPTIMIZER = SGDConfig(lr=0.01, reference_batch_size=None, weight_decay=0.0, norm_weight_decay=0.0)


@dataclass(frozen=True)
class Pictures:
    """A batch; see `service.training.task.Batch`."""

    pictures: Tensor
    """(n, 3, size, size)."""
    labels: Tensor
    """int64 (n,)."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Pictures":
        """Returns the batch on a device."""
        return Pictures(self.pictures.to(device), self.labels.to(device))


class Classification:
    """The part of a task that a step asks for."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def loss(self, model: nn.Module, batch: Pictures) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Returns the mean loss, and its top-1."""
        logits = model(batch.pictures)
        top1 = 100 * (logits.detach().argmax(1) == batch.labels).float().mean()
        return F.cross_entropy(logits, batch.labels), {"top1": top1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=11, help="rounds of both ways")
    parser.add_argument("--steps", type=positive, default=3, help="steps of a round")
    parser.add_argument("--depth", type=int, choices=(18, 34, 50, 101, 152), default=50)
    parser.add_argument("--size", type=positive, default=128, help="of the pictures, pixels")
    parser.add_argument("--batch", type=positive, default=32)


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    shape = (options.batch, 3, options.size, options.size)
    batch = Pictures(torch.randn(shape), torch.randint(_CLASSES, (options.batch,))).to(device)
    with tempfile.TemporaryDirectory(prefix="step-") as folder, _group_of_one(device, folder):
        service = _service(options.depth, batch, device, Path(folder))
        bare = _bare(options.depth, batch, device)
        times = alternate(
            lambda: lambda: service(options.steps),
            lambda: lambda: bare(options.steps),
            rounds=options.rounds,
            warm_up=2,
        )
    yield Record(
        what=f"{options.steps} steps of ResNet-{options.depth}, {options.batch} pictures of "
        f"{options.size} pixels, under the service",
        peer="a bare loop",
        ours=times.ours,
        peers=times.peer,
        # 0.98 of its pictures a second
        goal=share(1.02),
        agreement=_difference(service(0), bare(0)),
    )


def _difference(ours: nn.Module, peer: nn.Module) -> str:
    pairs = zip(ours.parameters(), peer.parameters(), strict=True)
    largest = max(float((one - other).detach().abs().max()) for one, other in pairs)
    return f"weights after all steps differ by at most {largest:.1e}"


def _service(
    depth: int, batch: Pictures, device: torch.device, folder: Path
) -> Callable[[int], nn.Module]:
    """Returns what does a number of steps as a worker does them, and returns the network."""
    config = TrainingConfig(batch_size=len(batch))
    network = _network(depth, device)
    state = TrainingState(network, _OPTIMIZER, config, {})
    tracker = RunTracker(folder / "run", None)
    nothing: Callable[..., Any] = lambda *_: None  # noqa: E731  # nobody reads warnings here
    worker = LocalWorker(
        folder, device, 1, CheckpointConfig(), tracker.log, nothing, nothing, lambda: False
    )
    task = cast(Task[Pictures], Classification(network))
    step = TrainingStep(task, wrap(network, config), state, worker, config)

    def run(steps: int) -> nn.Module:
        for _ in range(steps):
            step(repeat(batch))
            if state.step % _LOG_EVERY == 0:
                worker.log(state.step, step.meters.read() | {"time/now": time.time()})
        _wait_for(device)
        return network

    return run


def _bare(depth: int, batch: Pictures, device: torch.device) -> Callable[[int], nn.Module]:
    """Returns what does a number of steps as a few lines of torch do them."""
    network = _network(depth, device)
    optimizer = torch.optim.SGD(
        network.parameters(), _OPTIMIZER.lr, _OPTIMIZER.momentum, nesterov=_OPTIMIZER.nesterov
    )

    def run(steps: int) -> nn.Module:
        for _ in range(steps):
            F.cross_entropy(network(batch.pictures), batch.labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            # Last, as ours does it: gradients kept until the next step would be memory that only
            # ours has to take from the system.
            optimizer.zero_grad(set_to_none=True)
        _wait_for(device)
        return network

    return run


def _network(depth: int, device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    config = ResNetConfig(depth=depth, regularizer=PlainSumConfig())
    return build_network(config, _CLASSES).to(device).train()


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _group_of_one(device: torch.device, folder: str) -> Iterator[None]:
    """Makes this process the only worker of a process group."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{folder}/group", rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()
