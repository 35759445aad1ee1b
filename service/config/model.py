"""Networks, by family."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.config.base import Config, PositiveInt
from service.config.regularizer import RegularizerConfig, ShakeDropConfig

Width = Annotated[int, Field(ge=4, le=1024)]


class NetworkConfig(Config):
    """What all families share."""

    kind: str
    """The family."""
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


class ResNetConfig(NetworkConfig):
    """ResNet, ResNeXt or Wide ResNet of four stages, for large pictures."""

    kind: Literal["resnet"] = "resnet"
    """The family."""
    depth: Literal[18, 34, 50, 101, 152, 200] = 50
    """Layers with weights; from 50 on the blocks are bottlenecks."""
    order: Literal["post_activation", "erase_relu", "pre_activation"] = "erase_relu"
    """`post_activation` is torchvision's; `erase_relu` leaves out the ReLU after the addition
    (arXiv 1709.07634); `pre_activation` normalises and activates before each convolution."""
    width: Width = 64
    """Channels of the first stage; later stages double it."""
    stem: Literal["imagenet", "small"] = "imagenet"
    """`imagenet`: 7x7 convolution with stride 2 and max pooling; `small`: one 3x3 convolution."""
    cardinality: PositiveInt = 1
    """Groups of a bottleneck's 3x3 convolution (arXiv 1611.05431)."""
    group_width: PositiveInt | None = None
    """Channels of each group in the first stage; later stages double it; null takes `width`.
    ResNeXt 32x4d has cardinality 32 and 4, Wide ResNet-50-2 has cardinality 1 and 128."""

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if self.depth < FIRST_BOTTLENECK_DEPTH and (self.cardinality > 1 or self.group_width):
            raise ValueError(
                "cardinality and group_width describe bottlenecks; choose a depth of 50 or more "
                f"(got depth {self.depth})"
            )
        if self.cardinality > 1 and self.group_width is None:
            raise ValueError(
                "cardinality needs group_width, the channels of each group: 4 in ResNeXt 32x4d "
                f"(got cardinality {self.cardinality})"
            )
        return self


class PyramidNetConfig(NetworkConfig):
    """PyramidNet (arXiv 1610.02915) of four stages, for large pictures."""

    kind: Literal["pyramidnet"] = "pyramidnet"
    """The family."""
    depth: Literal[18, 34, 50, 101, 152, 200] = 200
    """Layers with weights; from 50 on the blocks are bottlenecks."""
    alpha: PositiveInt = 300
    """Widening factor α: channels that all blocks together add to the stem's 64."""


class ThreeStageConfig(NetworkConfig):
    """What the families for pictures of 32x32 pixels share."""

    depth: int
    """Layers with weights."""

    @property
    def depth_form(self) -> tuple[int, int]:
        """(a, b) of the valid depths an + b, where n ≥ 1 is the number of blocks of a stage."""
        return 6, 2

    @property
    def blocks(self) -> int:
        """Residual blocks of each stage."""
        step, rest = self.depth_form
        return (self.depth - rest) // step

    @model_validator(mode="after")
    def _depth_has_the_form(self) -> Self:
        step, rest = self.depth_form
        if self.blocks < 1 or (self.depth - rest) % step:
            below = max(self.blocks, 1) * step + rest
            raise ValueError(
                f"depth must be {step}n+{rest} for whole n ≥ 1, such as {below} or {below + step} "
                f"(got {self.depth})"
            )
        return self


class CIFARResNetConfig(ThreeStageConfig):
    """ResNet of three stages (arXiv 1512.03385, section 4.2; arXiv 1603.05027)."""

    kind: Literal["cifar_resnet"] = "cifar_resnet"
    """The family."""
    depth: int = 110
    """Layers with weights: 6n+2 from basic blocks, 9n+2 from bottlenecks."""
    block: Literal["basic", "bottleneck"] = "basic"
    """`basic`: two 3x3 convolutions; `bottleneck`: 1x1, 3x3 and 1x1 to 4 times the channels."""
    order: Literal["post_activation", "erase_relu", "pre_activation"] = "pre_activation"
    """`erase_relu` is `post_activation` without the ReLU after the addition (arXiv 1709.07634);
    `pre_activation` normalises and activates before each convolution."""
    width: Width = 16
    """Channels of the first stage; later stages double it."""

    @property
    def depth_form(self) -> tuple[int, int]:
        """(a, b) of the valid depths an + b."""
        return _FORMS[self.block]


class CIFARWideResNetConfig(ThreeStageConfig):
    """Wide ResNet of three stages, WRN-depth-k (arXiv 1605.07146)."""

    kind: Literal["cifar_wide_resnet"] = "cifar_wide_resnet"
    """The family."""
    depth: int = 28
    """Layers with weights as the paper counts them, 6n+4."""
    widening_factor: PositiveInt = 10
    """k: the stages have 16k, 32k and 64k channels."""

    @property
    def depth_form(self) -> tuple[int, int]:
        """(a, b) of the valid depths an + b."""
        return 6, 4


class CIFARResNeXtConfig(ThreeStageConfig):
    """ResNeXt of three stages (arXiv 1611.05431, section 5.3), of one or two residual branches."""

    kind: Literal["cifar_resnext"] = "cifar_resnext"
    """The family."""
    depth: int = 29
    """Layers with weights, 9n+2."""
    cardinality: PositiveInt = 8
    """Groups of a bottleneck's 3x3 convolution."""
    group_width: PositiveInt = 64
    """Channels of each group in the first stage; later stages double it."""
    branches: Literal[1, 2] = 1
    """Residual branches of a block. With 2, cardinality 4 and group_width 64 it is the 29 2x4x64d
    of Shake-Shake (arXiv 1705.07485), a three-branch network in ShakeDrop's words."""
    order: Literal["post_activation", "erase_relu"] = "post_activation"
    """`erase_relu` leaves out the ReLU after the addition (arXiv 1709.07634)."""
    width: Width = 64
    """Channels of the stem; the stages put out 4, 8 and 16 times as many."""

    @property
    def depth_form(self) -> tuple[int, int]:
        """(a, b) of the valid depths an + b."""
        return _FORMS["bottleneck"]


class CIFARPyramidNetConfig(ThreeStageConfig):
    """PyramidNet (arXiv 1610.02915) of three stages."""

    kind: Literal["cifar_pyramidnet"] = "cifar_pyramidnet"
    """The family."""
    depth: int = 110
    """Layers with weights: 6n+2 from basic blocks, 9n+2 from bottlenecks."""
    block: Literal["basic", "bottleneck"] = "basic"
    """`basic`: two 3x3 convolutions; `bottleneck`: 1x1, 3x3 and 1x1 to 4 times the channels."""
    alpha: PositiveInt = 270
    """Widening factor α: channels that all blocks together add to the stem's 16."""

    @property
    def depth_form(self) -> tuple[int, int]:
        """(a, b) of the valid depths an + b."""
        return _FORMS[self.block]


class ShakeResNetConfig(ThreeStageConfig):
    """The two-branch ResNet of Shake-Shake, 26 2xWd (arXiv 1705.07485, section 2)."""

    kind: Literal["shake_resnet"] = "shake_resnet"
    """The family."""
    depth: int = 26
    """Layers with weights, 6n+2."""
    width: Width = 32
    """W: channels of the first stage; later stages double it."""


FIRST_BOTTLENECK_DEPTH = 50
"""Depth from which networks of four stages consist of bottlenecks."""
_FORMS = {"basic": (6, 2), "bottleneck": (9, 2)}

ModelConfig = Annotated[
    ResNetConfig
    | PyramidNetConfig
    | CIFARResNetConfig
    | CIFARWideResNetConfig
    | CIFARResNeXtConfig
    | CIFARPyramidNetConfig
    | ShakeResNetConfig,
    Field(
        discriminator="kind",
        # Another family keeps what all share: `model.kind=… model.classes=…` in either order.
        json_schema_extra={"kept": [name for name in NetworkConfig.model_fields if name != "kind"]},
    ),
]
