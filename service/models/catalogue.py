"""The networks that have names: their sizes, their cost, and the regularisers they take."""

from dataclasses import dataclass
from typing import get_args

import torch
from torch.utils.flop_counter import FlopCounterMode

from service.config.model import ResNetConfig
from service.config.regularizer import PlainSumConfig, RegularizerConfig
from service.models.resnet import build_network

_INPUT_SIZE = 224
_CLASSES = 1000
_NAMES = {
    "post_activation": "resnet{depth}",
    "erase_relu": "resnet{depth}_erase_relu",
    "pre_activation": "preresnet{depth}",
}


@dataclass(frozen=True)
class Entry:
    """One network of the catalogue, with 1000 classes and without a regulariser."""

    name: str
    input_size: int
    """Side of the pictures that `multiply_adds` counts, pixels."""
    parameters: int
    multiply_adds: int
    """Multiplications with an addition in one forward pass of one picture."""
    regularizers: tuple[str, ...]
    """Kinds that `model.regularizer` takes for it."""


def network_name(config: ResNetConfig) -> str:
    """Returns the network's name: `resnet50`, `preresnet18_w16_small`.

    Width and stem are named where they are not the usual ones; the regulariser is not part of it.
    """
    name = _NAMES[config.order].format(depth=config.depth)
    if config.width != ResNetConfig.model_fields["width"].default:
        name += f"_w{config.width}"
    if config.stem != "imagenet":
        name += f"_{config.stem}"
    return name


def entries() -> list[Entry]:
    """Returns every network of the usual width and stem, by order and depth."""
    depths = get_args(ResNetConfig.model_fields["depth"].annotation)
    return [
        _entry(ResNetConfig(depth=depth, order=order, regularizer=PlainSumConfig()))
        for order in _NAMES
        for depth in depths
    ]


def table() -> str:
    """Returns the catalogue as text, one network a line."""
    lines = [f"{'network':<22}{'input':>7}{'parameters':>14}{'multiply-adds':>16}  regularisers"]
    lines += [
        f"{entry.name:<22}{entry.input_size:>7}{entry.parameters:>14,}"
        f"{entry.multiply_adds / 1e9:>13.2f} G    {', '.join(entry.regularizers)}"
        for entry in entries()
    ]
    lines.append(
        f"Counted for {_CLASSES} classes, without a regulariser; ShakeDrop adds a batch "
        "normalisation to each branch of a preresnet."
    )
    return "\n".join(lines)


def _entry(config: ResNetConfig) -> Entry:
    # On the meta device tensors have shapes and no memory, so counting costs no arithmetic.
    with torch.device("meta"), torch.no_grad():
        network = build_network(config, _CLASSES).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, _INPUT_SIZE, _INPUT_SIZE))
    return Entry(
        name=network_name(config),
        input_size=_INPUT_SIZE,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        # The counter counts a multiplication and its addition as two operations.
        multiply_adds=counter.get_total_flops() // 2,
        regularizers=_regularizer_kinds(),
    )


def _regularizer_kinds() -> tuple[str, ...]:
    union, _ = get_args(RegularizerConfig)
    return tuple(kind.model_fields["kind"].default for kind in get_args(union))
