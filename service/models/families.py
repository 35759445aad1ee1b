"""The families of networks: from a configuration to a design."""

from service.config.model import (
    FIRST_BOTTLENECK_DEPTH,
    CIFARPyramidNetConfig,
    CIFARResNetConfig,
    CIFARResNeXtConfig,
    CIFARWideResNetConfig,
    ModelConfig,
    PyramidNetConfig,
    ResNetConfig,
    ShakeResNetConfig,
)
from service.models.design import BlockKind, Design, Stem, doubling, pyramid

# Blocks of each stage: arXiv 1512.03385, table 1; 200 is that of arXiv 1603.05027.
_FOUR_STAGES = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
_THREE_STAGES = 3
_CIFAR_CHANNELS = 16
_IMAGENET_CHANNELS = 64


def design_of(config: ModelConfig) -> Design:
    """Returns the design of the network that a configuration describes."""
    match config:
        case ResNetConfig():
            return _resnet(config)
        case PyramidNetConfig():
            return _pyramidnet(config)
        case CIFARResNetConfig():
            return _cifar_resnet(config)
        case CIFARWideResNetConfig():
            return _cifar_wide_resnet(config)
        case CIFARResNeXtConfig():
            return _cifar_resnext(config)
        case CIFARPyramidNetConfig():
            return _cifar_pyramidnet(config)
        case ShakeResNetConfig():
            return _shake_resnet(config)


def network_name(config: ModelConfig) -> str:
    """Returns the network's name: `resnet50`, `preresnet18_w16_small`, `cifar_pyramidnet110_a270`.

    Values are named where they are not the usual ones; the regulariser is not part of it.
    """
    return design_of(config).name


def _resnet(config: ResNetConfig) -> Design:
    block = _four_stage_block(config.depth)
    group_width = config.group_width or config.width
    name = f"resnet{config.depth}"
    if config.cardinality > 1:
        name = f"resnext{config.depth}_{config.cardinality}x{group_width}d"
    elif group_width != config.width:
        name = f"wide_resnet{config.depth}_{group_width / config.width:g}"
    width = "" if config.width == _IMAGENET_CHANNELS else f"_w{config.width}"
    stem = "" if config.stem == "imagenet" else f"_{config.stem}"
    return Design(
        name=_ordered(name, config.order) + width + stem,
        stem="imagenet" if config.stem == "imagenet" else "conv_bn_relu",
        stem_channels=config.width,
        stages=doubling(
            _FOUR_STAGES[config.depth], config.width, block, config.cardinality * group_width
        ),
        block=block,
        order=config.order,
        cardinality=config.cardinality,
    )


def _pyramidnet(config: PyramidNetConfig) -> Design:
    block = _four_stage_block(config.depth)
    return Design(
        name=f"pyramidnet{config.depth}_a{config.alpha}",
        stem="imagenet",
        stem_channels=_IMAGENET_CHANNELS,
        stages=pyramid(_FOUR_STAGES[config.depth], _IMAGENET_CHANNELS, config.alpha, block),
        block=block,
        order="pyramid",
        shortcut="zero_padding",
    )


def _cifar_resnet(config: CIFARResNetConfig) -> Design:
    # A pre-activation network normalises at its first block's entry, and not before.
    stem: Stem = "conv" if config.order == "pre_activation" else "conv_bn_relu"
    width = "" if config.width == _CIFAR_CHANNELS else f"_w{config.width}"
    name = f"resnet{config.depth}" + _block_suffix(config.block)
    return Design(
        name="cifar_" + _ordered(name, config.order) + width,
        stem=stem,
        stem_channels=config.width,
        stages=doubling([config.blocks] * _THREE_STAGES, config.width, config.block),
        block=config.block,
        order=config.order,
    )


def _cifar_wide_resnet(config: CIFARWideResNetConfig) -> Design:
    width = _CIFAR_CHANNELS * config.widening_factor
    return Design(
        name=f"wrn{config.depth}_{config.widening_factor}",
        stem="conv",
        stem_channels=_CIFAR_CHANNELS,
        stages=doubling([config.blocks] * _THREE_STAGES, width, "basic"),
        block="basic",
        order="pre_activation",
    )


def _cifar_resnext(config: CIFARResNeXtConfig) -> Design:
    branches = "" if config.branches == 1 else f"{config.branches}x"
    width = "" if config.width == _IMAGENET_CHANNELS else f"_w{config.width}"
    size = f"{branches}{config.cardinality}x{config.group_width}d"
    return Design(
        name="cifar_" + _ordered(f"resnext{config.depth}_{size}", config.order) + width,
        stem="conv_bn_relu",
        stem_channels=config.width,
        stages=doubling(
            [config.blocks] * _THREE_STAGES,
            config.width,
            "bottleneck",
            config.cardinality * config.group_width,
        ),
        block="bottleneck",
        order=config.order,
        cardinality=config.cardinality,
        branches=config.branches,
    )


def _cifar_pyramidnet(config: CIFARPyramidNetConfig) -> Design:
    blocks = [config.blocks] * _THREE_STAGES
    return Design(
        name=f"cifar_pyramidnet{config.depth}{_block_suffix(config.block)}_a{config.alpha}",
        stem="conv_bn",
        stem_channels=_CIFAR_CHANNELS,
        stages=pyramid(blocks, _CIFAR_CHANNELS, config.alpha, config.block),
        block=config.block,
        order="pyramid",
        shortcut="zero_padding",
    )


def _shake_resnet(config: ShakeResNetConfig) -> Design:
    return Design(
        name=f"shake_resnet{config.depth}_2x{config.width}d",
        stem="conv_bn",
        stem_channels=_CIFAR_CHANNELS,
        stages=doubling([config.blocks] * _THREE_STAGES, config.width, "basic"),
        block="basic",
        order="shake",
        shortcut="two_paths",
        branches=2,
    )


def _four_stage_block(depth: int) -> BlockKind:
    return "bottleneck" if depth >= FIRST_BOTTLENECK_DEPTH else "basic"


def _ordered(name: str, order: str) -> str:
    """Returns the name as its order spells it: `resnet50_erase_relu`, `preresnet50`."""
    if order == "pre_activation":
        return f"pre{name}"
    return f"{name}_erase_relu" if order == "erase_relu" else name


def _block_suffix(block: BlockKind) -> str:
    return "_bottleneck" if block == "bottleneck" else ""
