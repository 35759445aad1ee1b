"""What ShakeDrop costs at each level: time and memory of a step beside the plain network's.

One thread computes: the shares do not depend on it, and a busy machine disturbs two that wait for
each other several times as much.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import torch

from service.benchmark.arguments import positive
from service.benchmark.goals import Goal, share
from service.benchmark.network_steps import Steps, residual_network
from service.benchmark.records import Record
from service.benchmark.timing import alternate
from service.config.regularizer import ShakeDropConfig
from service.config.training import TrainingConfig
from service.models.strength import set_strength
from service.training.threads import one_thread

QUICK: tuple[str, ...] = (
    *("--batch", "8", "--rounds", "9"),
    *("--compiled-depth", "18", "--compiled-levels", "pixel"),
)

_EAGER = {"batch": 1.03, "image": 1.03, "channel": 1.05, "pixel": 1.10}
_COMPILED = {"batch": 1.02, "image": 1.02, "channel": 1.02, "pixel": 1.10}
_MEMORY = 1.02
_DEPTHS = (18, 34, 50, 101, 152)

LEVELS = tuple(_EAGER)
"""ShakeDrop's levels."""


def goal_of(level: str, *, compiled: bool) -> Goal:
    """Returns how long a step may take beside the plain network's."""
    return share((_COMPILED if compiled else _EAGER)[level])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=40, help="steps of each network")
    parser.add_argument("--depth", type=int, choices=_DEPTHS, default=50, help="of the ResNet")
    parser.add_argument("--compiled-depth", type=int, choices=_DEPTHS, default=50)
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--side", type=positive, default=64, help="of a picture, pixels")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--levels", nargs="*", choices=LEVELS, default=LEVELS)
    parser.add_argument("--compiled-levels", nargs="*", choices=LEVELS, default=LEVELS)


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    with one_thread():
        for level in options.levels:
            yield from _eager(options, level)
        if options.compiled_levels:
            yield from _compiled(options)


def _compiled(options: argparse.Namespace) -> Iterator[Record]:
    plain = _steps(options, None, compiled=True)
    for level in options.compiled_levels:
        shaken = _steps(options, level, compiled=True)
        yield _record(options, level, shaken, plain, compiled=True)


def _eager(options: argparse.Namespace, level: str) -> Iterator[Record]:
    plain, shaken = (_steps(options, one, compiled=False) for one in (None, level))
    yield _record(options, level, shaken, plain, compiled=False)
    # A closed gate keeps most; with p_l = 0 half of the network's are closed, the last for certain.
    torch.manual_seed(0)
    set_strength(shaken.network, 0.0)  # type: ignore[arg-type]  # it is one of our networks
    yield Record(
        what=f"activation memory of ResNet-{options.depth} with ShakeDrop, level {level}",
        peer="the same without it",
        ours=(shaken.kept_mebibytes(),),
        peers=(plain.kept_mebibytes(),),
        unit="MiB",
        goal=share(_MEMORY),
        agreement="counted once, with P_L = 0",
    )


def _steps(options: argparse.Namespace, level: str | None, *, compiled: bool) -> Steps:
    values: dict[str, Any] = {"kind": "shakedrop", "level": level}
    depth = options.compiled_depth if compiled else options.depth
    network = residual_network(
        depth, None if level is None else ShakeDropConfig.model_validate(values)
    )
    training = TrainingConfig(
        precision=options.precision,
        channels_last=options.precision == "bf16",
        compile=compiled,
    )
    return Steps(network, training, batch=options.batch, side=options.side)


def _record(
    options: argparse.Namespace, level: str, shaken: Steps, plain: Steps, *, compiled: bool
) -> Record:
    times = alternate(
        shaken.preparation, plain.preparation, rounds=options.rounds, warm_up=2 + 2 * compiled
    )
    network = shaken.network
    set_strength(network, 1.0)  # type: ignore[arg-type]  # it is one of our networks
    same = torch.equal(shaken.loss(), plain.loss())
    set_strength(network, 0.5)  # type: ignore[arg-type]
    depth = options.compiled_depth if compiled else options.depth
    mode = "compiled" if compiled else "eager"
    return Record(
        what=f"a step of ResNet-{depth} with ShakeDrop, level {level}, {mode}, {options.precision}",
        peer="the same without it",
        ours=times.ours,
        peers=times.peer,
        goal=goal_of(level, compiled=compiled),
        agreement=f"with P_L = 1 the loss is {'the same' if same else 'another'}",
    )
