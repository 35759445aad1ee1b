"""Networks."""

from typing import Annotated, Literal

from pydantic import Field

from service.config.base import Config, PositiveInt
from service.config.regularizer import RegularizerConfig, ShakeDropConfig


class ResNetConfig(Config):
    """A residual network of four stages, from basic (18, 34) or bottleneck blocks."""

    kind: Literal["resnet"] = "resnet"
    """The family."""
    depth: Literal[18, 34, 50, 101, 152, 200] = 50
    """Layers with weights; from 50 on the blocks are bottlenecks."""
    order: Literal["post_activation", "erase_relu", "pre_activation"] = "erase_relu"
    """`post_activation` is torchvision's; `erase_relu` leaves out the ReLU after the addition
    (arXiv 1709.07634); `pre_activation` normalises and activates before each convolution."""
    width: Annotated[int, Field(ge=4, le=1024)] = 64
    """Channels of the first stage; later stages double it."""
    stem: Literal["imagenet", "small"] = "imagenet"
    """`imagenet`: 7x7 convolution with stride 2 and max pooling; `small`: one 3x3 convolution."""
    classes: PositiveInt | None = None
    """Outputs of the classifier; null takes the number of classes of the data."""
    zero_init_last_gamma: bool = False
    """Start the last γ of each branch at 0, so that a block begins as the identity."""
    weights: str | None = None
    """Where to start from: a checkpoint folder of this service, a `.safetensors` file, or a
    torchvision state dict (`.pth`); null starts from random weights. A classifier of another size
    starts anew."""
    regularizer: RegularizerConfig = ShakeDropConfig()
    """What a block does with its branch before adding it."""


ModelConfig = ResNetConfig
