"""Our ShakeDrop against the formulation of public ports, in the same network."""

import argparse
from collections.abc import Iterator
from typing import Literal

from service.benchmark.arguments import positive
from service.benchmark.goals import times_as_fast
from service.benchmark.network_steps import Steps, residual_network
from service.benchmark.records import Record
from service.benchmark.shakedrop_peer import PortedMerge
from service.benchmark.timing import alternate
from service.config.regularizer import ShakeDropConfig
from service.config.training import TrainingConfig
from service.regularization import linear_decay

QUICK: tuple[str, ...] = ("--batch", "8", "--rounds", "12", "--compiled-depth", "18")

_DEPTHS = (18, 34, 50, 101, 152)
_P_L = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=40, help="steps of each network")
    parser.add_argument("--depth", type=int, choices=_DEPTHS, default=50, help="of the ResNet")
    parser.add_argument(
        "--compiled-depth", type=int, choices=(0, *_DEPTHS), default=50, help="or 0"
    )
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--side", type=positive, default=64, help="of a picture, pixels")


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    yield _compared(options, options.depth, "fp32", compiled=False)
    yield _compared(options, options.depth, "bf16", compiled=False)
    if options.compiled_depth:
        yield _compared(options, options.compiled_depth, "fp32", compiled=True)


def _compared(
    options: argparse.Namespace, depth: int, precision: Literal["fp32", "bf16"], *, compiled: bool
) -> Record:
    training = TrainingConfig(
        precision=precision, channels_last=precision == "bf16", compile=compiled
    )
    ours = residual_network(depth, ShakeDropConfig(level="image", p_l=_P_L))
    port = residual_network(depth)
    count = len(port.blocks)
    for number, block in enumerate(port.blocks, start=1):
        block.merge = PortedMerge(linear_decay(number, count, _P_L))
    steps = [
        Steps(network.train(), training, batch=options.batch, side=options.side)
        for network in (ours, port)
    ]
    times = alternate(
        steps[0].preparation,
        steps[1].preparation,
        rounds=options.rounds,
        # A compiler meets the gates of the port one combination after the other.
        warm_up=12 if compiled else 2,
    )
    mode = "compiled" if compiled else "eager"
    return Record(
        what=f"a step of ResNet-{depth} with ShakeDrop, level image, {mode}, {precision}",
        peer="public ports' formulation",
        ours=times.ours,
        peers=times.peer,
        goal=times_as_fast(1.3 if compiled else 1.0),
        agreement="the same distribution; the draws are others",
    )
