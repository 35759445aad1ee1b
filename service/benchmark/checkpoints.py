"""How long a checkpoint holds up training: ours beside it, against torch.save in the loop."""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from service.benchmark.arguments import positive
from service.benchmark.goals import times_as_fast
from service.benchmark.records import Record
from service.benchmark.timing import Prepared, alternate
from service.config.model import ResNetConfig
from service.config.optimization import AveragingConfig, SGDConfig
from service.config.training import TrainingConfig
from service.models.build import build_network
from service.training.checkpoint import read_checkpoint
from service.training.checkpoint_writer import CheckpointWriter
from service.training.state import TrainingState

QUICK: tuple[str, ...] = ("--rounds", "3")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of both ways")
    parser.add_argument("--depth", type=int, choices=(18, 34, 50, 101, 152), default=152)


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    yield measure_checkpoints(depth=options.depth, rounds=options.rounds)


def measure_checkpoints(*, depth: int, rounds: int) -> Record:
    """Measures on this machine's temporary folder.

    What the clock sees of ours is the copy and the handing over; the write before has ended. The
    first of ours, which takes its memory, is not counted.

    Args:
        depth: Layers of the ResNet, trained with momentum and a moving average.
        rounds: Rounds of both ways.
    """
    state = _trained_one_step(depth)
    with tempfile.TemporaryDirectory() as folder, CheckpointWriter() as writer:
        ours_at, peer_at = Path(folder) / "ours", Path(folder) / "peer.pt"

        def ours() -> Prepared:
            writer.wait()
            return lambda: writer.write(ours_at, state.content({}, {}, "", {}))

        def peer() -> Prepared:
            writer.wait()
            return lambda: torch.save(_everything(state), peer_at)

        times = alternate(ours, peer, rounds=rounds, warm_up=1)
        writer.wait()
        written = read_checkpoint(ours_at).model
        other = torch.load(peer_at, weights_only=True)["model"]
    same = sum(torch.equal(written[name], tensor) for name, tensor in other.items())
    return Record(
        what=f"training held up by a checkpoint of ResNet-{depth} with momentum and average",
        peer="torch.save in the loop",
        ours=times.ours,
        peers=times.peer,
        goal=times_as_fast(4),
        agreement=f"{same} of {len(other)} tensors equal",
    )


def _trained_one_step(depth: int) -> TrainingState:
    """Returns the state of a run with everything that it saves: momentum appears with a step."""
    model = build_network(ResNetConfig(depth=depth), classes=1000)
    config = TrainingConfig(average=AveragingConfig(enabled=True))
    state = TrainingState(model, SGDConfig(), config, {})
    for parameter in state.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    state.guard.remember()
    state.guard.step(torch.zeros(()))
    return state


def _everything(state: TrainingState) -> dict[str, object]:
    average = state.average
    return {
        "model": state.model.state_dict(),
        "ema": average.module.state_dict() if average else None,
        "optimizer": state.optimizer.state_dict(),
    }
