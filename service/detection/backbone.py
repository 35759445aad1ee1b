"""A detector's backbone: a residual network without its classifier, and a feature pyramid."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from torch import Tensor, nn

from service.config.detector import BackboneConfig, DetectorConfig, RetinaNetConfig
from service.config.errors import ConfigurationError
from service.config.regularizer import ShakeShakeConfig
from service.detection.freezing import Freezing
from service.detection.pyramid import build_pyramid, first_level, layers_read
from service.models.build import build_network
from service.models.families import design_of
from service.models.layers import run_layers
from service.models.network import ResidualNetwork
from service.regularization import DropBlock2d

BODY = "backbone.body."
"""Beginning of the names of a detector's parameters that belong to the residual network."""


class PyramidBackbone(nn.Module):
    """Maps of a feature pyramid on the stages of a residual network.

    Frozen parts stay in evaluation mode when `train` is called on the backbone or on what it
    belongs to. Names follow torchvision's `BackboneWithFPN`.

    Attributes:
        body: The residual network, its classifier replaced by the identity.
        fpn: torchvision's `FeaturePyramidNetwork`.
        drop_block: DropBlock on the pyramid's maps, or None.
        freezing: What of the body is frozen.
        out_channels: Channels of each map.

    Args:
        body: The network; its frozen parts lose their gradients, its classifier goes.
        layers_read: Names of the body's layers whose outputs the pyramid reads, in order.
        fpn: The pyramid.
        freezing: What of the body is frozen.
        drop_block: What regularises the pyramid's maps; None for nothing.
        out_channels: Channels of the pyramid.
    """

    def __init__(
        self,
        body: ResidualNetwork,
        layers_read: Sequence[str],
        fpn: nn.Module,
        *,
        freezing: Freezing,
        drop_block: DropBlock2d | None,
        out_channels: int,
    ) -> None:
        super().__init__()
        body.fc = nn.Identity()  # type: ignore[assignment]  # nothing here classifies
        self.body = body
        self.fpn = fpn
        self.drop_block = drop_block
        self.freezing = freezing
        self.out_channels = out_channels
        self._layers_read = tuple(layers_read)
        for part in freezing.parts(body):
            part.requires_grad_(False)
        self.train(self.training)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Returns the pyramid's maps by name, finest first, for a batch x (N, 3, H, W)."""
        body = self.body
        with _outputs([body.get_submodule(name) for name in self._layers_read]) as read:
            run_layers(body, (*body.stem_names, *body.stage_names, *body.tail_names), x)
        maps: dict[str, Tensor] = self.fpn({str(level): map for level, map in enumerate(read)})
        if self.drop_block is not None:
            maps = {name: self.drop_block(map) for name, map in maps.items()}
        return maps

    def train(self, mode: bool = True) -> Self:
        """Sets training or evaluation mode, but for the frozen parts."""
        super().train(mode)
        for part in self.freezing.parts(self.body):
            part.eval()
        return self


def build_backbone(config: DetectorConfig) -> PyramidBackbone:
    """Returns the backbone of a detector, with random weights.

    Raises:
        ConfigurationError: Values of the backbone that do not fit together.
    """
    body = _build_body(config.backbone)
    order = design_of(config.backbone).order
    return PyramidBackbone(
        body,
        layers_read(body, order, first_level(config)),
        build_pyramid(config, body),
        freezing=Freezing.of(body, config.trained_stages, config.batch_norm),
        drop_block=_pyramid_drop_block(config),
        out_channels=config.pyramid_channels,
    )


def _build_body(config: BackboneConfig) -> ResidualNetwork:
    if isinstance(config.regularizer, ShakeShakeConfig):
        raise ConfigurationError(
            "model.backbone.regularizer.kind: shake_shake mixes two residual branches, and a "
            "detector's backbone has one; choose another regulariser"
        )
    try:
        return build_network(config, classes=1)
    except ConfigurationError as error:
        # A network's fields stand one level deeper here.
        message = re.sub(r"\bmodel\.(?!backbone\.)", "model.backbone.", str(error))
        raise ConfigurationError(message) from error


def _pyramid_drop_block(config: DetectorConfig) -> DropBlock2d | None:
    if not isinstance(config, RetinaNetConfig) or config.pyramid_drop_block is None:
        return None
    return DropBlock2d(config.pyramid_drop_block.drop_prob, config.pyramid_drop_block.block_size)


@contextmanager
def _outputs(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Collects the outputs of layers that run meanwhile.

    Hooks that stayed would belong to this backbone in its copies, too.
    """
    outputs: list[Tensor] = []
    handles = [
        layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        for layer in layers
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
