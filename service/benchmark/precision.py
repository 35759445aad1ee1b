"""What `training.precision: auto` gains on this machine, against fp32."""

import argparse
from collections.abc import Iterator

from service.benchmark.arguments import positive
from service.benchmark.goals import times_as_fast
from service.benchmark.network_steps import Steps, residual_network
from service.benchmark.records import Record
from service.benchmark.timing import alternate
from service.config.training import TrainingConfig
from service.training.precision import decided, multiplies_bf16

QUICK: tuple[str, ...] = ("--batch", "16", "--rounds", "5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=10, help="steps of both ways")
    parser.add_argument("--depth", type=int, choices=(18, 34, 50, 101, 152), default=50)
    parser.add_argument("--batch", type=positive, default=16)
    parser.add_argument("--side", type=positive, default=224, help="of a picture, pixels")
    parser.add_argument("--compile", action="store_true", help="ours also compiled; takes minutes")


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures on this machine's processor."""
    auto = TrainingConfig(precision="auto", compile=options.compile)
    training = decided(auto, {"here": multiplies_bf16(on_gpu=False)})
    ours, peer = (
        Steps(residual_network(options.depth), how, batch=options.batch, side=options.side)
        for how in (training, TrainingConfig())
    )
    times = alternate(ours.preparation, peer.preparation, rounds=options.rounds, warm_up=2)
    losses = float(ours().item()), float(peer().item())
    order = ", channels_last" if training.channels_last else ""
    compiled = ", compiled" if options.compile else ""
    yield Record(
        what=f"a step of ResNet-{options.depth} at {options.side} px with precision auto: "
        f"{training.precision}{order}{compiled}",
        peer="fp32, eager",
        ours=times.ours,
        peers=times.peer,
        goal=times_as_fast(2.5),
        agreement=f"loss {losses[0]:.3f} and {losses[1]:.3f}",
    )
