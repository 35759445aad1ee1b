"""The strengths of a detector's regularisers over the run, as functions of the position."""

from torch import nn

from service.config.detector import DetectorConfig, FeatureDropBlockConfig, RetinaNetConfig
from service.detection.backbone import PyramidBackbone
from service.models.completion import resolved
from service.models.strength import apply_strengths, set_strength
from service.regularization import RandomDrop, ShakeDrop
from service.training.length import RunLength
from service.training.ramp import RampedStrength, ramped_strength


class StrengthRamps:
    """Moves the strengths of the backbone's and the pyramid's regulariser along their ramps.

    A strength depends on the step alone, so nothing of it belongs to a checkpoint. Frozen blocks
    take no part: they compute with their final strength, as in evaluation.

    Args:
        backbone: A detector's backbone, neither compiled nor wrapped.
        config: What it was built from.
    """

    def __init__(self, backbone: PyramidBackbone, config: DetectorConfig) -> None:
        self._backbone = backbone
        self._ramped = self._configured(config)

    def change(self, config: DetectorConfig) -> None:
        """Sets other strengths, also in frozen blocks; ramps lead to them from the next step on.

        Raises:
            ValueError: The regulariser differs from the network's in more than strengths.
        """
        apply_strengths(self._backbone.body, resolved(config.backbone).regularizer)
        drop = _pyramid_drop(config)
        if drop is not None:
            self._set_pyramid(drop.drop_prob)
        self._ramped = self._configured(config)

    def move_to(self, step: int, length: RunLength) -> None:
        """Sets the strengths with which a step is taken, without waiting for the device.

        Args:
            step: Optimiser steps taken before it.
            length: Length of the run.
        """
        for strength in self._ramped:
            strength.move_to(step, length)

    def _configured(self, config: DetectorConfig) -> list[RampedStrength]:
        ramped = [ramped_strength(config.backbone.regularizer, self._set_body)]
        drop = _pyramid_drop(config)
        if drop is not None and drop.ramp.over.value > 0:
            ramped.append(RampedStrength(drop.ramp, drop.drop_prob, self._set_pyramid))
        return [one for one in ramped if one is not None]

    def _set_body(self, strength: float) -> None:
        body, layers = self._backbone.body, self._backbone.freezing.layers
        modules = [module for name in layers for module in body.get_submodule(name).modules()]
        # The others do nothing in evaluation, whatever their strength.
        frozen = [module for module in modules if isinstance(module, ShakeDrop | RandomDrop)]
        kept = [unit.p.clone() for unit in frozen]
        set_strength(body, strength)
        for unit, p in zip(frozen, kept, strict=True):
            unit.p.copy_(p)

    def _set_pyramid(self, strength: float) -> None:
        unit = self._backbone.drop_block
        if unit is not None:
            unit.drop_prob.fill_(strength)


def strength_ramps(detector: nn.Module, config: DetectorConfig) -> StrengthRamps:
    """Returns the ramps of a detector that `build_detector` built from the configuration."""
    backbone = detector.get_submodule("backbone")
    if not isinstance(backbone, PyramidBackbone):
        raise TypeError(f"not a detector of this service: its backbone is a {type(backbone)}")
    return StrengthRamps(backbone, config)


def _pyramid_drop(config: DetectorConfig) -> FeatureDropBlockConfig | None:
    return config.pyramid_drop_block if isinstance(config, RetinaNetConfig) else None
