"""Detectors: a residual network's stages, a feature pyramid, and heads."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.config.base import Config, PositiveFloat, PositiveInt, Probability
from service.config.model import PyramidNetConfig, ResNetConfig, Width
from service.config.regularizer import DropRampConfig

BackboneConfig = Annotated[
    ResNetConfig | PyramidNetConfig,
    Field(
        discriminator="kind",
        json_schema_extra={"kept": ["zero_init_last_gamma", "regularizer"]},
    ),
]
"""Networks of four stages."""

ALL_STAGES = 5
"""Stages that can train: the network's four and the stem."""


class FeatureDropBlockConfig(Config):
    """DropBlock (arXiv 1810.12890) on the maps of the feature pyramid."""

    drop_prob: Probability = 0.1
    """Expected share of each map that is dropped."""
    block_size: PositiveInt = 3
    """Side of a dropped block, cells of the map."""
    ramp: DropRampConfig = DropRampConfig()
    """How drop_prob gets there."""


class DetectorConfig(Config):
    """What all detectors share."""

    kind: str
    """The detector."""
    backbone: BackboneConfig = ResNetConfig()
    """The network whose four stages feed the pyramid. What is not given here is taken from the
    checkpoint that `model.weights` names: family, depth, and a regulariser's P_L, α and β."""
    weights: str | None = None
    """Where to start from: a checkpoint folder of this service or a `.safetensors` file, of a
    classifier or of a detector, a torchvision state dict (`.pth`), `runs:/<MLflow run>` or
    `models:/<name>/<version>`; null starts from random weights."""
    trained_stages: Annotated[int, Field(ge=0, le=ALL_STAGES)] = 3
    """Stages of the backbone that train, counted from the last; 5 includes the stem. The others are
    frozen: they compute as in evaluation, their regulariser too."""
    batch_norm: Literal["frozen", "trained", "synchronised"] = "frozen"
    """Batch normalisation of the backbone's trained stages. `frozen` keeps statistics, γ and bias
    of the weights; `trained` and `synchronised` learn them, from a worker's or from all workers'
    pictures."""
    backbone_lr_multiplier: PositiveFloat = 1.0
    """Learning rate of the backbone's stages, relative to that of pyramid and heads."""
    heads: Literal["v1", "v2"] = "v1"
    """torchvision's heads: v1 as published, v2 deeper and normalised (arXiv 2111.11429)."""
    pyramid_channels: Width = 256
    """Channels of the feature pyramid."""
    anchor_sizes: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (
        32,
        64,
        128,
        256,
        512,
    )
    """Side of a square anchor on each level of the pyramid, pixels."""
    score_threshold: Probability = 0.05
    """Least score of a detection."""
    nms_threshold: Probability = 0.5
    """Overlap (IoU) above which the weaker of two detections of a class is dropped."""
    detections_per_picture: PositiveInt = 100
    """Most detections of a picture."""

    @model_validator(mode="after")
    def _one_place_for_weights(self) -> Self:
        if self.backbone.weights is not None:
            raise ValueError("backbone.weights: give the weights as model.weights")
        if self.backbone.classes is not None:
            raise ValueError("backbone.classes: the backbone of a detector has no classifier")
        return self

    @model_validator(mode="after")
    def _frozen_parts_have_weights(self) -> Self:
        frozen = self.trained_stages < ALL_STAGES or self.batch_norm == "frozen"
        if self.weights is None and frozen:
            raise ValueError(
                "without weights nothing may be frozen: set model.weights, or trained_stages to 5 "
                "and batch_norm to trained or synchronised"
            )
        return self


class TwoStageConfig(DetectorConfig):
    """What Faster R-CNN and Mask R-CNN share."""

    proposals: PositiveInt = 2000
    """Proposals that the first stage hands to the second in training; half as many in
    evaluation."""
    region_samples: PositiveInt = 512
    """Proposals of a picture that the second stage learns from."""
    box_head_width: Annotated[int, Field(ge=16, le=4096)] = 1024
    """Outputs of the box head's linear layers."""


class FasterRCNNConfig(TwoStageConfig):
    """Faster R-CNN with a feature pyramid (arXiv 1506.01497, 1612.03144)."""

    kind: Literal["faster_rcnn"] = "faster_rcnn"
    """The detector."""


class MaskRCNNConfig(TwoStageConfig):
    """Mask R-CNN with a feature pyramid (arXiv 1703.06870)."""

    kind: Literal["mask_rcnn"] = "mask_rcnn"
    """The detector."""
    mask_head_width: Width = 256
    """Channels of the mask head's convolutions."""


class RetinaNetConfig(DetectorConfig):
    """RetinaNet (arXiv 1708.02002)."""

    kind: Literal["retinanet"] = "retinanet"
    """The detector."""
    pyramid_drop_block: FeatureDropBlockConfig | None = None
    """DropBlock on the pyramid's maps; null for none."""


DetectorChoice = Annotated[
    FasterRCNNConfig | MaskRCNNConfig | RetinaNetConfig,
    Field(
        discriminator="kind",
        # Another detector keeps what all share.
        json_schema_extra={
            "kept": [name for name in TwoStageConfig.model_fields if name != "kind"]
        },
    ),
]
