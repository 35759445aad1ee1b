"""From a configuration to a detector: torchvision's, on a residual network of ours.

A detector takes uint8 views (3, h, w). In training it returns losses by name, for targets with
`boxes` (k, 4), `labels` (k,) and, for Mask R-CNN, `masks` (k, h, w). In evaluation it returns for
each view `boxes` (m, 4) in its pixels, `labels`, `scores` and, from Mask R-CNN, `masks` (m, 1, 28,
28): probabilities inside each box.

State dicts have torchvision's keys: `backbone.body.…`, `backbone.fpn.…`, `rpn.…`, `roi_heads.…`,
RetinaNet's `head.…`. Post-activation networks load torchvision's detectors.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import nn
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.ops import MultiScaleRoIAlign

from service.config.detector import (
    DetectorChoice,
    DetectorConfig,
    MaskRCNNConfig,
    RetinaNetConfig,
)
from service.detection.backbone import BODY, build_backbone
from service.detection.heads import box_stage, first_stage, mask_stage, single_stage
from service.detection.input import ViewInput

_LARGEST_STRIDE = 64  # of the pyramid's coarsest map, pixels


def build_detector(
    config: DetectorChoice, categories: int, mean: Sequence[float], std: Sequence[float]
) -> nn.Module:
    """Returns the detector that the configuration describes, with random weights, on the CPU.

    Synchronised batch normalisation, in heads too, takes effect where torch.distributed is
    initialised.

    Args:
        config: The detector; its `weights` are not read here.
        categories: Kinds of objects; labels are 1 to `categories`, and 0 is the background.
        mean: Mean of each colour channel, of values in [0, 1].
        std: Standard deviation of each colour channel.

    Raises:
        ConfigurationError: Values that do not fit together.
    """
    detector = _assembled(config, categories + 1)
    _settle_scales(detector)
    detector.transform = ViewInput(mean, std)
    if config.batch_norm == "synchronised" and dist.is_initialized():
        detector = nn.SyncBatchNorm.convert_sync_batchnorm(detector)  # type: ignore[no-untyped-call]  # torch's
    return detector


def lr_multipliers(config: DetectorConfig) -> dict[str, float]:
    """Returns factors of the learning rate by the beginning of a parameter's name.

    What no name begins with has factor 1; so the result is empty where the backbone has it too.
    """
    factor = config.backbone_lr_multiplier
    return {} if factor == 1 else {BODY: factor}


def _assembled(config: DetectorChoice, classes: int) -> nn.Module:
    backbone = build_backbone(config)
    detector: nn.Module
    if isinstance(config, RetinaNetConfig):
        detector = RetinaNet(backbone, classes, **single_stage(config, classes))
        return detector
    stages = first_stage(config) | box_stage(config, classes)
    if isinstance(config, MaskRCNNConfig):
        detector = MaskRCNN(backbone, **stages, **mask_stage(config, classes))
    else:
        detector = FasterRCNN(backbone, **stages)
    return detector


def _settle_scales(detector: nn.Module) -> None:
    """Lets regions be pooled from maps whose scales are exact.

    torchvision's pooling guesses the maps' scales from the first batch that it sees. Where small
    pictures are padded much it takes the wrong power of two, for good; and a resumed run, whose
    first batch is another one, would pool otherwise than the run that it continues.
    """
    poolers = [module for module in detector.modules() if isinstance(module, MultiScaleRoIAlign)]
    if not poolers:
        return
    # A side that all strides divide.
    picture = torch.zeros(1, 3, 4 * _LARGEST_STRIDE, 4 * _LARGEST_STRIDE)
    backbone = detector.get_submodule("backbone").eval()
    with torch.no_grad():
        maps = backbone(picture)
        for pooler in poolers:
            pooler(maps, [torch.zeros(1, 4)], [tuple(picture.shape[2:])])
    backbone.train()
