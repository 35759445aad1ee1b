"""ResNets of four stages: post-activation, EraseReLU and pre-activation."""

from torch import nn

from service.config.errors import ConfigurationError
from service.config.model import ResNetConfig
from service.config.regularizer import AlphaRange, ShakeDropConfig
from service.models.block import (
    ResidualBlock,
    basic_convolutions,
    bottleneck_convolutions,
    post_activation_block,
    pre_activation_block,
)
from service.models.layers import Layers, convolution, relu
from service.models.merge import Merge, build_merge
from service.models.network import ResidualNetwork

# Blocks of each stage: arXiv 1512.03385, table 1; 200 is that of arXiv 1603.05027.
_STAGES = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
_FIRST_BOTTLENECK_DEPTH = 50


def build_network(config: ResNetConfig, classes: int) -> ResidualNetwork:
    """Returns the network that the configuration describes, with random weights.

    Args:
        config: The network; ends of α's range that are left open are filled in (see `resolved`).
        classes: Outputs of the classifier.

    Raises:
        ConfigurationError: Values that do not fit together.
    """
    config = resolved(config)
    counts = _STAGES[config.depth]
    stages: list[list[ResidualBlock]] = []
    features: list[int] = []
    channels = config.width
    for stage, count in enumerate(counts):
        stages.append([])
        for index in range(count):
            merge = build_merge(config.regularizer, sum(counts[:stage]) + index + 1, sum(counts))
            stride = 2 if stage > 0 and index == 0 else 1
            convolutions = _convolutions(config, channels, config.width * 2**stage, stride)
            channels = convolutions[-1].out_channels
            stages[-1].append(_block(config, convolutions, merge))
        features.append(channels)
    network = ResidualNetwork(_stem(config), stages, _tail(config, channels), features, classes)
    if config.zero_init_last_gamma:
        _zero_last_gamma(network)
    return network


def resolved(config: ResNetConfig) -> ResNetConfig:
    """Returns the configuration with both ends of ShakeDrop's α range filled in.

    An end left open becomes that of [−1, 1] where the branch ends the block (erase_relu and
    pre_activation), and 0 where a ReLU follows the addition (post_activation): the ranges that
    the paper found for either (arXiv 1802.02375).

    Raises:
        ConfigurationError: The end that is given does not fit the end that is filled in.
    """
    regularizer = config.regularizer
    if not isinstance(regularizer, ShakeDropConfig):
        return config
    low, high = (0.0, 0.0) if config.order == "post_activation" else (-1.0, 1.0)
    given = regularizer.alpha
    low = low if given.low is None else given.low
    high = high if given.high is None else given.high
    if low > high:
        raise ConfigurationError(
            f"model.regularizer.alpha: low {low:g} exceeds high {high:g} once the order "
            f"{config.order} has filled in the end left open; give both low and high"
        )
    alpha = AlphaRange(low=low, high=high)
    filled = regularizer.model_copy(update={"alpha": alpha})
    return config.model_copy(update={"regularizer": filled})


def _convolutions(config: ResNetConfig, inputs: int, width: int, stride: int) -> list[nn.Conv2d]:
    if config.depth < _FIRST_BOTTLENECK_DEPTH:
        return basic_convolutions(inputs, width, stride)
    return bottleneck_convolutions(inputs, width, stride)


def _block(config: ResNetConfig, convolutions: list[nn.Conv2d], merge: Merge) -> ResidualBlock:
    if config.order == "pre_activation":
        # A pre-activation branch ends with a convolution, whose output nothing bounds. ShakeDrop
        # turns such a branch around at will (α < 0), and training may diverge (arXiv 1802.02375):
        # under ShakeDrop each branch ends with a batch normalisation of its own.
        shaken = isinstance(config.regularizer, ShakeDropConfig)
        return pre_activation_block(convolutions, merge, last_norm=shaken)
    erased = config.order == "erase_relu"
    return post_activation_block(convolutions, merge, nn.Identity() if erased else relu())


def _stem(config: ResNetConfig) -> Layers:
    small = config.stem == "small"
    first = convolution(3, config.width, 3) if small else convolution(3, config.width, 7, 2)
    stem: Layers = {"conv1": first, "bn1": nn.BatchNorm2d(config.width), "relu": relu()}
    if not small:
        stem["maxpool"] = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    return stem


def _tail(config: ResNetConfig, channels: int) -> Layers:
    # Pre-activation leaves the sum of all branches without normalisation and ReLU.
    if config.order == "pre_activation":
        return {"last_bn": nn.BatchNorm2d(channels), "last_relu": relu()}
    return {}


def _zero_last_gamma(network: ResidualNetwork) -> None:
    """Starts each block as the identity (arXiv 1706.02677, section 5.1).

    Off by default, as in torchvision. With γ = 0 a branch is 0 and so is its product with any
    coefficient: ShakeDrop disturbs nothing until γ has grown, and of a branch only the last γ and
    bias learn at first, from gradients scaled by β where the gate is closed.
    """
    for block in network.blocks:
        if block.last_norm is None:
            raise ConfigurationError(
                "model.zero_init_last_gamma: a pre_activation branch without ShakeDrop ends with a "
                "convolution and has no last γ; set it to false"
            )
        nn.init.zeros_(block.last_norm.weight)
