"""The feature pyramid (arXiv 1612.03144) and what it reads of a residual network.

A level reads what the network's next layer with weights reads of a stage. Such a map is what a
classifier's training has prepared for reading, with statistics, γ and bias in its checkpoint: the
pyramid needs no normalisation of its own there, which frozen batch normalisation would leave
untrained.

    order            a stage before the last            the last stage
    post_activation  its output                         its output
    erase_relu       its output, which may be negative  its output
    pre_activation   bn1–relu1 of the next stage        after the tail, bn–relu
    pyramid          bn1 of the next stage              after the tail, bn–relu

The raw sums of pre-activation and PyramidNet stages grow with every block, and nothing in the
network reads them without normalisation.
"""

from torch import nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from service.config.detector import DetectorConfig, RetinaNetConfig
from service.models.design import Order
from service.models.network import ResidualNetwork

_READ_BY_NEXT_STAGE: dict[Order, str] = {"pre_activation": "relu1", "pyramid": "bn1"}


def first_level(config: DetectorConfig) -> int:
    """Returns the index of the first stage that the pyramid reads.

    RetinaNet leaves out the first stage, whose many cells would make too many anchors (arXiv
    1708.02002, section 4).
    """
    return 1 if isinstance(config, RetinaNetConfig) else 0


def layers_read(body: ResidualNetwork, order: Order, first: int) -> tuple[str, ...]:
    """Returns the names of the layers whose outputs the pyramid reads, in the order they run.

    Args:
        body: The network.
        order: Its order of convolution, normalisation and ReLU.
        first: Index of the first stage read.
    """
    layer = _READ_BY_NEXT_STAGE.get(order)
    if layer is None:
        return body.stage_names[first:]
    following = body.stage_names[first + 1 :]
    return (*(f"{stage}.0.{layer}" for stage in following), body.tail_names[-1])


def build_pyramid(config: DetectorConfig, body: ResidualNetwork) -> nn.Module:
    """Returns torchvision's pyramid for a detector.

    Two-stage detectors halve the last map once more by leaving out cells; RetinaNet adds two maps
    by convolution, which v1 computes from the pyramid and v2 from the network's last stage.
    """
    normalised = config.heads == "v2" and not isinstance(config, RetinaNetConfig)
    pyramid: nn.Module = FeaturePyramidNetwork(
        list(body.feature_channels[first_level(config) :]),
        config.pyramid_channels,
        extra_blocks=_further_levels(config, body),
        norm_layer=nn.BatchNorm2d if normalised else None,
    )
    return pyramid


def _further_levels(config: DetectorConfig, body: ResidualNetwork) -> nn.Module:
    if not isinstance(config, RetinaNetConfig):
        maximum: nn.Module = LastLevelMaxPool()
        return maximum
    from_pyramid = config.heads == "v1"
    inputs = config.pyramid_channels if from_pyramid else body.feature_channels[-1]
    levels: nn.Module = LastLevelP6P7(inputs, config.pyramid_channels)
    # torchvision decides by the number of channels, which may be the same for both.
    levels.use_P5 = from_pyramid  # type: ignore[assignment]  # a plain attribute of the module
    return levels
