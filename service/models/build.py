"""From a configuration to a network."""

from itertools import chain

from torch import nn

from service.config.errors import ConfigurationError
from service.config.model import ModelConfig
from service.config.regularizer import (
    AlphaRange,
    RegularizerConfig,
    ShakeDropConfig,
)
from service.models.block import ResidualBlock, build_block
from service.models.design import BlockSize, Design
from service.models.families import design_of
from service.models.merge import build_inner_drop, build_merge
from service.models.network import ResidualNetwork
from service.models.orders import ends_with_norm, stem_layers, tail_layers
from service.models.strength import strengths
from service.models.suitability import refusal


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


def resolved(config: ModelConfig) -> ModelConfig:
    """Returns the configuration as it is built: with both ends of ShakeDrop's α range filled in.

    An end left open becomes that of [−1, 1] where the branch ends the block, and 0 where a ReLU
    follows the addition (post_activation): the ranges that the paper found for either (arXiv
    1802.02375).

    Raises:
        ConfigurationError: The network does not take its regulariser, the end of α's range that is
            given does not fit the end that is filled in, or there is no last γ to begin at 0.
    """
    design, regularizer = design_of(config), config.regularizer
    reason = refusal(design, regularizer)
    if reason is not None:
        raise ConfigurationError(reason)
    if config.zero_init_last_gamma and not _has_last_norms(design, regularizer):
        raise ConfigurationError(
            "model.zero_init_last_gamma: a pre-activation branch without ShakeDrop ends with a "
            "convolution and has no last γ; set it to false"
        )
    if not isinstance(regularizer, ShakeDropConfig):
        return config
    filled = regularizer.model_copy(update={"alpha": _filled(regularizer.alpha, design)})
    return config.model_copy(update={"regularizer": filled})


def _filled(given: AlphaRange, design: Design) -> AlphaRange:
    low, high = (0.0, 0.0) if design.relu_after_addition else (-1.0, 1.0)
    low = low if given.low is None else given.low
    high = high if given.high is None else given.high
    if low > high:
        raise ConfigurationError(
            f"model.regularizer.alpha: low {low:g} exceeds high {high:g} once the order "
            f"{design.order} has filled in the end left open; give both low and high"
        )
    return AlphaRange(low=low, high=high)


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
        last_norm=_has_last_norms(design, regularizer),
        inner_drop=build_inner_drop(regularizer, strength),
    )


def _has_last_norms(design: Design, regularizer: RegularizerConfig) -> bool:
    """Returns whether each branch ends with batch normalisation.

    A pre-activation branch ends with a convolution, whose output nothing bounds. ShakeDrop turns
    such a branch around at will (α < 0), and training may diverge (arXiv 1802.02375): under
    ShakeDrop each branch ends with a batch normalisation of its own.
    """
    return ends_with_norm(design.order) or isinstance(regularizer, ShakeDropConfig)


def _zero_last_gamma(network: ResidualNetwork) -> None:
    """Starts each block as the identity (arXiv 1706.02677, section 5.1).

    Off by default, as in torchvision. With γ = 0 a branch is 0 and so is its product with any
    coefficient: ShakeDrop disturbs nothing until γ has grown, and of a branch only the last γ and
    bias learn at first, from gradients scaled by β where the gate is closed.
    """
    for norm in chain.from_iterable(block.last_norms for block in network.blocks):
        nn.init.zeros_(norm.weight)
