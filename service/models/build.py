"""From a configuration to a network."""

from itertools import chain

from torch import nn

from service.config.model import ModelConfig
from service.config.regularizer import RegularizerConfig
from service.models.block import ResidualBlock, build_block
from service.models.completion import has_last_norms, resolved
from service.models.design import BlockSize, Design
from service.models.families import design_of
from service.models.merge import build_inner_drop, build_merge
from service.models.network import ResidualNetwork
from service.models.orders import stem_layers, tail_layers
from service.models.strength import strengths


def build_network(config: ModelConfig, classes: int) -> ResidualNetwork:
    """Returns the network that the configuration describes, with random weights.

    Args:
        config: The network; ends of α's range that are left open are filled in (see `resolved`).
        classes: Outputs of the classifier.

    Raises:
        ConfigurationError: Values that do not fit together.
    """
    config = resolved(config)
    design = design_of(config)
    network = ResidualNetwork(
        stem_layers(design.stem, design.stem_channels),
        _stages(design, config.regularizer),
        tail_layers(design.order, design.stages[-1][-1].outputs),
        feature_channels=[stage[-1].outputs for stage in design.stages],
        classes=classes,
        regularizer=config.regularizer,
    )
    if config.zero_init_last_gamma:
        _zero_last_gamma(network)
    return network


def _stages(design: Design, regularizer: RegularizerConfig) -> list[list[ResidualBlock]]:
    remaining = iter(strengths(regularizer, [len(stage) for stage in design.stages]))
    return [
        [_block(design, size, regularizer, next(remaining)) for size in stage]
        for stage in design.sizes
    ]


def _block(
    design: Design, size: BlockSize, regularizer: RegularizerConfig, strength: float | None
) -> ResidualBlock:
    return build_block(
        design,
        size,
        build_merge(regularizer, strength, design.branches),
        last_norm=has_last_norms(design, regularizer),
        inner_drop=build_inner_drop(regularizer, strength),
    )


def _zero_last_gamma(network: ResidualNetwork) -> None:
    """Starts each block as the identity (arXiv 1706.02677, section 5.1).

    Off by default, as in torchvision. With γ = 0 a branch is 0 and so is its product with any
    coefficient: ShakeDrop disturbs nothing until γ has grown, and of a branch only the last γ and
    bias learn at first, from gradients scaled by β where the gate is closed.
    """
    for norm in chain.from_iterable(block.last_norms for block in network.blocks):
        nn.init.zeros_(norm.weight)
