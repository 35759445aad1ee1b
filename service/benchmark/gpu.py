"""Training on a GPU: pictures a second, use of the device, memory, and how often the host waits.

Whole steps of the service on pictures that lie on the device, in bf16 and channels_last: what is
measured is the device, not the pictures' way to it (see `limits`).
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any, Literal, cast

import torch
import torch._dynamo

from service.benchmark.arguments import positive
from service.benchmark.goals import at_most
from service.benchmark.network_steps import CLASSES, residual_network
from service.benchmark.records import Record
from service.benchmark.regularizers import LEVELS, goal_of
from service.benchmark.steps import Classification, Pictures
from service.benchmark.timing import Preparation, alternate
from service.benchmark.utilisation import Peak, operations_of_step, peak_of, wait_for
from service.config.errors import ConfigurationError
from service.config.optimization import SGDConfig
from service.config.regularizer import ShakeDropConfig
from service.config.training import CheckpointConfig, TrainingConfig
from service.training.local import LocalWorker
from service.training.state import TrainingState
from service.training.step import TrainingStep
from service.training.task import Task
from service.training.wrapping import wrap

QUICK: tuple[str, ...] = ("--depths", "50", "--rounds", "3", "--modes", "eager")

Level = Literal["batch", "image", "channel", "pixel"]
Mode = Literal["eager", "compiled"]

_MODES: tuple[Mode, ...] = ("eager", "compiled")
_WAIT = "called a synchronizing CUDA operation"
_HEAD = (
    "| network | ShakeDrop | mode | pictures/s | use of the device | peak memory | waits a step |\n"
    "|---|---|---|---|---|---|---|"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    depths = (18, 34, 50, 101, 152)
    parser.add_argument("--depths", type=int, nargs="*", choices=depths, default=(50, 152))
    parser.add_argument("--levels", nargs="*", choices=LEVELS, default=LEVELS)
    parser.add_argument("--modes", nargs="*", choices=_MODES, default=_MODES)
    parser.add_argument("--batch", type=positive, default=256)
    parser.add_argument("--side", type=positive, default=224, help="of a picture, pixels")
    parser.add_argument("--rounds", type=positive, default=7, help="of each network")
    parser.add_argument("--steps", type=positive, default=10, help="of a round")


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say.

    Raises:
        ConfigurationError: There is no GPU.
    """
    if not torch.cuda.is_available():
        raise ConfigurationError(
            "gpu: torch finds no CUDA device on this machine; run it where there is one "
            "(`regularizers` and `precision` measure processors)"
        )
    # Each network compiles the same lines of code anew, and beyond a few torch would stop.
    with torch._dynamo.config.patch(recompile_limit=64):
        yield from measure_on(torch.device("cuda", 0), options)


def measure_on(device: torch.device, options: argparse.Namespace) -> Iterator[Record]:
    """Measures on one device, and prints the table of all networks.

    Args:
        device: A GPU; on a CPU memory and waits are 0.
        options: Those of `add_arguments`.
    """
    peak, rows = peak_of(device), [_HEAD]
    for depth in options.depths:
        with torch.device("meta"):
            operations = operations_of_step(residual_network(depth), options.side)
        for mode in options.modes:
            plain = Trained(depth, None, mode, device, options)
            for level in (None, *options.levels):
                one = Trained(depth, level, mode, device, options) if level else plain
                seconds, others = _times(one, plain, options)
                figures = _figures(one, seconds, operations, peak, options)
                rows.append(f"| ResNet-{depth} | {level or '–'} | {mode} | {' | '.join(figures)} |")
                yield from _records(one, plain, seconds, others, figures)
                del one
    print("\n".join(rows))


class Trained:
    """A network that the service trains on one batch.

    Args:
        depth: Of the ResNet.
        level: ShakeDrop's; None for the plain network.
        mode: Compiled or not.
        device: Where it is trained.
        options: Batch and side of the pictures.
    """

    def __init__(
        self,
        depth: int,
        level: Level | None,
        mode: Mode,
        device: torch.device,
        options: argparse.Namespace,
    ) -> None:
        self.level = level
        self.mode = mode
        how = f"ShakeDrop, level {level}" if level else "no ShakeDrop"
        self.name = (
            f"ResNet-{depth}, {how}, {mode}, bf16, {options.batch} pictures of {options.side} px"
        )
        self._device = device
        before = _allocated(device)
        self._step = _step(depth, level, mode, device, options)
        # Compilation, the search for algorithms and the first allocations are over then.
        for _ in range(3):
            self._step()
        wait_for(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.waits = self._count_waits()
        wait_for(device)
        self.gibibytes = (_allocated(device, peak=True) - before) / 2**30

    def steps(self, count: int) -> Preparation:
        """Returns what does a number of steps and waits until they are done."""

        def run() -> None:
            for _ in range(count):
                self._step()
            wait_for(self._device)

        return lambda: run

    def _count_waits(self) -> int:
        """Returns how often the host waits for the device in a step."""
        if self._device.type != "cuda":
            self._step()
            return 0
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                self._step()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum(_WAIT in str(warning.message) for warning in seen)


def _step(
    depth: int, level: Level | None, mode: Mode, device: torch.device, options: argparse.Namespace
) -> Callable[[], None]:
    network = residual_network(depth, ShakeDropConfig(level=level) if level else None).to(device)
    training = TrainingConfig(
        batch_size=options.batch, precision="bf16", channels_last=True, compile=mode == "compiled"
    )
    optimizer = SGDConfig(lr=0.01, reference_batch_size=None)
    state = TrainingState(network, optimizer, training, {})
    task = cast(Task[Pictures], Classification(state.model))
    worker = _worker(device)
    step = TrainingStep(task, wrap(state.model, training), state, worker, training)
    draw = torch.Generator().manual_seed(1)
    pictures = torch.randn(options.batch, 3, options.side, options.side, generator=draw)
    labels = torch.randint(CLASSES, (options.batch,), generator=draw)
    batch = Pictures(pictures.to(memory_format=torch.channels_last), labels).to(device)
    return lambda: step(repeat(batch))


def _worker(device: torch.device) -> LocalWorker:
    nothing: Callable[..., Any] = lambda *_: None  # noqa: E731  # nothing is recorded or saved here
    folder = Path(tempfile.gettempdir())
    retention = CheckpointConfig()
    return LocalWorker(folder, device, 1, retention, nothing, nothing, nothing, lambda: False)


def _times(
    one: Trained, plain: Trained, options: argparse.Namespace
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns seconds of a step of both, round by round."""
    times = alternate(
        one.steps(options.steps), plain.steps(options.steps), rounds=options.rounds, warm_up=1
    )
    return (
        tuple(seconds / options.steps for seconds in times.ours),
        tuple(seconds / options.steps for seconds in times.peer),
    )


def _figures(
    one: Trained,
    seconds: tuple[float, ...],
    operations: int,
    peak: Peak,
    options: argparse.Namespace,
) -> tuple[str, ...]:
    """Returns the cells of the table: speed, use, memory, waits."""
    speed = options.batch / median(seconds)
    use = speed * operations / peak.operations
    return (
        f"{speed:.0f}",
        f"{use:.1%} of {peak.operations / 1e12:.0f} TFLOP/s {peak.source}",
        f"{one.gibibytes:.1f} GiB",
        f"{one.waits}",
    )


def _records(
    one: Trained,
    plain: Trained,
    seconds: tuple[float, ...],
    others: tuple[float, ...],
    figures: tuple[str, ...],
) -> Iterator[Record]:
    speed, use, memory, _ = figures
    found = f"{speed} pictures/s, {use}, {memory}"
    yield Record(
        what=f"waits for the device in a step: {one.name}",
        peer="",
        ours=(float(one.waits),),
        peers=(),
        goal=at_most(0),
        agreement=found,
        unit="waits",
    )
    if one.level is not None:
        yield Record(
            what=f"a step of {one.name}",
            peer=f"the same without it, {plain.gibibytes:.1f} GiB",
            ours=seconds,
            peers=others,
            goal=goal_of(one.level, compiled=one.mode == "compiled"),
            agreement=found,
        )


def _allocated(device: torch.device, *, peak: bool = False) -> int:
    """Returns the bytes of all tensors on a GPU, now or at most; 0 on a CPU."""
    if device.type != "cuda":
        return 0
    memory = torch.cuda.max_memory_allocated if peak else torch.cuda.memory_allocated
    return int(memory(device))
