"""Our ShakeDrop against the formulation of public ports.

The ports draw one gate for the batch, as our level `batch` does, and α and β for each image, as
`image` does, which draws the gates for each image as well. One thread computes, as in
`regularizers`.

A step of a network hardly shows the difference: its convolutions take a hundred times as long. So
the additions of its blocks are measured alone, and steps where a compiler could join them with
what stands around them.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from service.benchmark.arguments import positive
from service.benchmark.goals import times_as_fast
from service.benchmark.network_steps import Steps, residual_network
from service.benchmark.records import Record
from service.benchmark.shakedrop_peer import PortedMerge
from service.benchmark.timing import Prepared, alternate
from service.config.regularizer import ShakeDropConfig
from service.config.training import TrainingConfig
from service.models.merge import Merge
from service.models.network import ResidualNetwork
from service.regularization import linear_decay
from service.training.threads import one_thread

QUICK: tuple[str, ...] = ("--batch", "8", "--rounds", "12", "--compiled-depth", "18")

Level = Literal["batch", "image"]

_DEPTHS = (18, 34, 50, 101, 152)
_P_L = 0.5
_TIMES = 20  # as many rounds of additions: how long they take depends on the gates
_PEER = "public ports' formulation"
_AGREEMENT = "a gate is open as often as the port's; the draws are others"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=40, help="of both ways")
    parser.add_argument("--depth", type=int, choices=_DEPTHS, default=50, help="of the ResNet")
    parser.add_argument(
        "--compiled-depth", type=int, choices=(0, *_DEPTHS), default=50, help="or 0"
    )
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--side", type=positive, default=64, help="of a picture, pixels")


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    with one_thread():
        for dtype in (torch.float32, torch.bfloat16):
            yield _additions_compared(options, "batch", dtype)
            yield _additions_compared(options, "image", dtype)
        if options.compiled_depth:
            yield _steps_compared(options)


def _shaken(depth: int, level: Level) -> ResidualNetwork:
    return residual_network(depth, ShakeDropConfig(level=level, p_l=_P_L))


def _ported(depth: int) -> ResidualNetwork:
    network = residual_network(depth)
    count = len(network.blocks)
    for number, block in enumerate(network.blocks, start=1):
        block.merge = PortedMerge(linear_decay(number, count, _P_L))
    return network.train()


def _additions_compared(options: argparse.Namespace, level: Level, dtype: torch.dtype) -> Record:
    ours, port = (
        _Additions(network, options.batch, options.side, dtype)
        for network in (_shaken(options.depth, level), _ported(options.depth))
    )
    times = alternate(ours.prepared, port.prepared, rounds=_TIMES * options.rounds, warm_up=2)
    return Record(
        what=f"ShakeDrop and addition in all blocks of ResNet-{options.depth}, level {level}, "
        f"eager, {str(dtype).removeprefix('torch.')}",
        peer=_PEER,
        ours=times.ours,
        peers=times.peer,
        goal=times_as_fast(1.0),
        agreement=_AGREEMENT,
    )


@dataclass(frozen=True)
class _Addition:
    """The addition of one block, and noise for it, each tensor (N, C, H, W)."""

    merge: Merge
    branch: Tensor
    shortcut: Tensor
    gradient: Tensor

    def prepared(self) -> Callable[[], object]:
        """Returns both passes over copies, because the branch's place may be taken."""
        branch, shortcut = self.branch.clone(), self.shortcut.clone()
        given = branch, shortcut
        return lambda: torch.autograd.grad(self.merge([branch], shortcut), given, self.gradient)


class _Additions:
    """The additions of all blocks of a network, each alone.

    Args:
        network: The network.
        batch: Pictures.
        side: Of a picture, pixels.
        dtype: Of the maps; those of bf16 have their channels last, as in training.
    """

    def __init__(self, network: ResidualNetwork, batch: int, side: int, dtype: torch.dtype) -> None:
        order = torch.contiguous_format if dtype == torch.float32 else torch.channels_last
        draw = torch.Generator().manual_seed(0)

        def noise(shape: torch.Size) -> Tensor:
            return torch.randn(shape, generator=draw).to(dtype).contiguous(memory_format=order)

        self._additions = []
        for merge, shape in _shapes(network, batch, side):
            branch, shortcut = (noise(shape).requires_grad_() for _ in range(2))
            self._additions.append(_Addition(merge, branch, shortcut, noise(shape)))

    def prepared(self) -> Prepared:
        """Copies the noise, outside the clock."""
        passes = [addition.prepared() for addition in self._additions]
        return lambda: [run() for run in passes]


def _shapes(network: ResidualNetwork, batch: int, side: int) -> list[tuple[Merge, torch.Size]]:
    """Returns the blocks' additions and the shapes of what they add."""
    shapes: list[tuple[Merge, torch.Size]] = []
    handles = [
        block.merge.register_forward_hook(
            lambda merge, _, output: shapes.append((merge, output.shape))
        )
        for block in network.blocks
    ]
    with torch.no_grad():
        network(torch.zeros(batch, 3, side, side))
    for handle in handles:
        handle.remove()
    return shapes


def _steps_compared(options: argparse.Namespace) -> Record:
    depth, training = options.compiled_depth, TrainingConfig(compile=True)
    ours, port = (
        Steps(network, training, batch=options.batch, side=options.side)
        for network in (_shaken(depth, "image"), _ported(depth))
    )
    # A compiler meets the gates of the port one combination after the other.
    times = alternate(ours.preparation, port.preparation, rounds=options.rounds, warm_up=12)
    return Record(
        what=f"a step of ResNet-{depth} with ShakeDrop, level image, compiled, fp32",
        peer=_PEER,
        ours=times.ours,
        peers=times.peer,
        goal=times_as_fast(1.3),
        agreement=_AGREEMENT,
    )
