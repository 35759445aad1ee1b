"""The networks that have names: their sizes, their cost, and the regularisers they take."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import get_args

import torch
from torch import Tensor, nn

from service.config.model import (
    CIFARPyramidNetConfig,
    CIFARResNetConfig,
    CIFARResNeXtConfig,
    CIFARWideResNetConfig,
    ModelConfig,
    PyramidNetConfig,
    ResNetConfig,
    ShakeResNetConfig,
    ThreeStageConfig,
)
from service.config.regularizer import PlainSumConfig
from service.models.build import build_network
from service.models.families import design_of
from service.models.suitability import accepted

_LARGE, _SMALL = 224, 32
_CLASSES = {_LARGE: 1000, _SMALL: 10}
_PLAIN = PlainSumConfig()
_CONVOLUTION_FIRST = ("post_activation", "erase_relu")
# Depth, cardinality and group width: ResNeXt (arXiv 1611.05431), Wide ResNet-50-2 and -101-2.
_GROUPED = (
    (50, 32, 4),
    (101, 32, 4),
    (101, 32, 8),
    (101, 64, 4),
    (152, 32, 4),
    (50, 1, 128),
    (101, 1, 128),
)


@dataclass(frozen=True)
class Entry:
    """One network of the catalogue, without a regulariser."""

    name: str
    config: ModelConfig
    """What describes it; the regulariser is none."""
    input_size: int
    """Side of the pictures that it is for and that `multiply_adds` counts, pixels."""
    parameters: int
    """Of a network for 1000 classes at 224 pixels, or for 10 at 32."""
    multiply_adds: int
    """Multiplications with an addition in one forward pass of one picture."""
    regularizers: tuple[str, ...]
    """Kinds that `model.regularizer` takes for it."""


def networks() -> list[ModelConfig]:
    """Returns every network of the catalogue: those for large pictures, then those for small."""
    return [*_large_networks(), *_small_networks()]


def entries() -> list[Entry]:
    """Returns every network of the catalogue with what it costs; that takes seconds."""
    return [_entry(config) for config in networks()]


def table() -> str:
    """Returns the catalogue as text, one network a line."""
    lines = [f"{'network':<36}{'input':>5}{'parameters':>13}{'multiply-adds':>15}  regularisers"]
    lines += [
        f"{entry.name:<36}{entry.input_size:>5}{entry.parameters:>13,}"
        f"{entry.multiply_adds / 1e9:>13.2f} G  {', '.join(entry.regularizers)}"
        for entry in entries()
    ]
    lines.append(
        "Counted for 1000 classes at 224 pixels and for 10 at 32, without a regulariser; ShakeDrop "
        "adds a batch normalisation to each branch of a preresnet and of a wrn."
    )
    return "\n".join(lines)


def _large_networks() -> Iterator[ModelConfig]:
    for order in (*_CONVOLUTION_FIRST, "pre_activation"):
        for depth in get_args(ResNetConfig.model_fields["depth"].annotation):
            yield ResNetConfig(depth=depth, order=order, regularizer=_PLAIN)
    for order, (depth, cardinality, width) in product(_CONVOLUTION_FIRST, _GROUPED):
        yield ResNetConfig(
            depth=depth,
            order=order,
            cardinality=cardinality,
            group_width=width,
            regularizer=_PLAIN,
        )
    for depth in (152, 200):
        yield PyramidNetConfig(depth=depth, regularizer=_PLAIN)


def _small_networks() -> Iterator[ModelConfig]:
    for order in (*_CONVOLUTION_FIRST, "pre_activation"):
        for depth in (20, 56, 110):
            yield CIFARResNetConfig(depth=depth, order=order, regularizer=_PLAIN)
        yield CIFARResNetConfig(depth=164, block="bottleneck", order=order, regularizer=_PLAIN)
    for depth, factor in ((40, 4), (16, 8), (28, 10)):
        yield CIFARWideResNetConfig(depth=depth, widening_factor=factor, regularizer=_PLAIN)
    for order, (branches, cardinality) in product(_CONVOLUTION_FIRST, ((1, 8), (1, 16), (2, 4))):
        yield CIFARResNeXtConfig(
            order=order, branches=branches, cardinality=cardinality, regularizer=_PLAIN
        )
    for width in (32, 64, 96, 112):
        yield ShakeResNetConfig(width=width, regularizer=_PLAIN)
    for alpha in (48, 84, 270):
        yield CIFARPyramidNetConfig(alpha=alpha, regularizer=_PLAIN)
    for depth, alpha in ((164, 270), (200, 240), (272, 200)):
        yield CIFARPyramidNetConfig(
            depth=depth, block="bottleneck", alpha=alpha, regularizer=_PLAIN
        )


def _entry(config: ModelConfig) -> Entry:
    design = design_of(config)
    size = _SMALL if isinstance(config, ThreeStageConfig) else _LARGE
    # On the meta device tensors have shapes and no memory, so counting costs no arithmetic.
    with torch.device("meta"):
        network = build_network(config, _CLASSES[size])
    return Entry(
        name=design.name,
        config=config,
        input_size=size,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        multiply_adds=_multiply_adds(network, size),
        regularizers=accepted(design),
    )


def _multiply_adds(network: nn.Module, size: int) -> int:
    """Returns what convolutions and classifier cost for one picture of `size` x `size` pixels.

    The network is not usable afterwards.
    """
    counts: list[int] = []

    def count(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = layer.get_parameter("weight")
        # Each value of the output takes one multiplication for each weight that leads to it.
        counts.append(output.numel() * weight[0].numel())

    for parent in list(network.modules()):
        if isinstance(parent, nn.Conv2d | nn.Linear):
            parent.register_forward_hook(count)
        for name, layer in parent.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                # Not counted, and the slowest layer of all on the meta device.
                parent.add_module(name, nn.Identity())
    with torch.device("meta"), torch.no_grad():
        network.eval()(torch.empty(1, 3, size, size))
    return sum(counts)
