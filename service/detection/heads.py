"""The heads of torchvision's detectors, v1 as published and v2 (arXiv 2111.11429), to size."""

from functools import partial
from typing import Any

from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import (
    FastRCNNConvFCHead,
    FastRCNNPredictor,
    TwoMLPHead,
)
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.rpn import RPNHead

from service.config.detector import MaskRCNNConfig, RetinaNetConfig, TwoStageConfig
from service.config.errors import ConfigurationError
from service.detection.precision import place_in_single_precision, predict_in_single_precision

_ASPECT_RATIOS = (0.5, 1.0, 2.0)
"""Height over width of anchors."""
_POOLED_SIDE = 7
"""Side of the maps that a box head reads, cells."""
_CONVOLUTIONS = 4
"""Convolutions of mask heads, and of v2's box heads."""
_GROUPS = 32
"""Groups of the normalisation in v2's RetinaNet heads."""


def first_stage(config: TwoStageConfig) -> dict[str, Any]:
    """Returns the arguments of `FasterRCNN` about proposals.

    As in torchvision the suppression of overlaps reads from each level as many boxes as it hands
    on.
    """
    anchors = _anchors(tuple((side,) for side in config.anchor_sizes))
    head = RPNHead(
        config.pyramid_channels,
        anchors.num_anchors_per_location()[0],
        conv_depth=2 if config.heads == "v2" else 1,
    )
    predict_in_single_precision(head)
    training, evaluation = config.proposals, max(config.proposals // 2, 1)
    return {
        "rpn_anchor_generator": anchors,
        "rpn_head": head,
        "rpn_pre_nms_top_n_train": training,
        "rpn_pre_nms_top_n_test": evaluation,
        "rpn_post_nms_top_n_train": training,
        "rpn_post_nms_top_n_test": evaluation,
    }


def box_stage(config: TwoStageConfig, classes: int) -> dict[str, Any]:
    """Returns the arguments of `FasterRCNN` about boxes; `classes` counts the background too."""
    predictor = FastRCNNPredictor(config.box_head_width, classes)
    predict_in_single_precision(predictor)
    return {
        "box_head": _box_head(config),
        "box_predictor": predictor,
        "box_score_thresh": config.score_threshold,
        "box_nms_thresh": config.nms_threshold,
        "box_detections_per_img": config.detections_per_picture,
        "box_batch_size_per_image": config.region_samples,
    }


def mask_stage(config: MaskRCNNConfig, classes: int) -> dict[str, Any]:
    """Returns the arguments of `MaskRCNN` about masks; `classes` counts the background too."""
    width = config.mask_head_width
    norm_layer = nn.BatchNorm2d if config.heads == "v2" else None
    predictor = MaskRCNNPredictor(width, width, classes)
    predict_in_single_precision(predictor)
    layers = [width] * _CONVOLUTIONS
    return {
        "mask_head": MaskRCNNHeads(config.pyramid_channels, layers, 1, norm_layer=norm_layer),
        "mask_predictor": predictor,
    }


def single_stage(config: RetinaNetConfig, classes: int) -> dict[str, Any]:
    """Returns the arguments of `RetinaNet`; `classes` counts an unused background, as torchvision.

    Raises:
        ConfigurationError: v2's normalisation does not divide the pyramid's channels.
    """
    channels = config.pyramid_channels
    second = config.heads == "v2"
    if second and channels % _GROUPS:
        raise ConfigurationError(
            f"model.pyramid_channels: RetinaNet's v2 heads normalise {_GROUPS} groups of channels; "
            f"give a multiple of {_GROUPS} (got {channels})"
        )
    # Three sizes for each level (arXiv 1708.02002, section 4), rounded as torchvision does.
    anchors = _anchors(
        tuple(
            (side, int(side * 2 ** (1 / 3)), int(side * 2 ** (2 / 3)))
            for side in config.anchor_sizes
        )
    )
    norm_layer = partial(nn.GroupNorm, _GROUPS) if second else None
    each = anchors.num_anchors_per_location()[0]
    head = RetinaNetHead(channels, each, classes, norm_layer=norm_layer)
    if second:
        head.regression_head._loss_type = "giou"
    predict_in_single_precision(head)
    return {
        "anchor_generator": anchors,
        "head": head,
        "score_thresh": config.score_threshold,
        "nms_thresh": config.nms_threshold,
        "detections_per_img": config.detections_per_picture,
    }


def _box_head(config: TwoStageConfig) -> nn.Module:
    channels, width = config.pyramid_channels, config.box_head_width
    head: nn.Module
    if config.heads == "v1":
        head = TwoMLPHead(channels * _POOLED_SIDE**2, width)
    else:
        head = FastRCNNConvFCHead(
            (channels, _POOLED_SIDE, _POOLED_SIDE),
            [channels] * _CONVOLUTIONS,
            [width],
            norm_layer=nn.BatchNorm2d,
        )
    return head


def _anchors(sides: tuple[tuple[int, ...], ...]) -> Any:  # noqa: ANN401  # torchvision has no types
    anchors = AnchorGenerator(sides, (_ASPECT_RATIOS,) * len(sides))
    place_in_single_precision(anchors)
    return anchors
