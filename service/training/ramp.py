"""A regulariser's strength over the run, as a function of the position."""

from service.config.regularizer import (
    DropBlockConfig,
    RampConfig,
    RandomDropConfig,
    RegularizerConfig,
    ShakeDropConfig,
)
from service.models.network import ResidualNetwork
from service.models.strength import apply_strengths, set_strength
from service.regularization.schedules import strength_at
from service.training.length import RunLength


class StrengthRamp:
    """Moves a network's strength along its configured ramp; does nothing without one.

    The strength at a step depends on the step alone, so that nothing of it belongs to a checkpoint
    beyond the position, and evaluation, which takes no step, never moves it.

    Args:
        network: The network as it was built, neither compiled nor wrapped.
        regularizer: Its regulariser.
    """

    def __init__(self, network: ResidualNetwork, regularizer: RegularizerConfig) -> None:
        self._network = network
        self._ramp, self._end = _ramp(regularizer)
        self._current = self._end

    def change(self, regularizer: RegularizerConfig) -> None:
        """Sets other strengths; a ramp leads to the new end from the next step on.

        Raises:
            ValueError: It is another regulariser than the network's.
        """
        apply_strengths(self._network, regularizer)
        self._ramp, self._end = _ramp(regularizer)
        self._current = self._end

    def move_to(self, step: int, length: RunLength) -> None:
        """Sets the strength with which a step is taken, without waiting for the device.

        Args:
            step: Optimiser steps taken before it.
            length: Length of the run.
        """
        if self._ramp is None:
            return
        strength = strength_at(self._ramp, self._end, step, length.steps, length.steps_per_epoch)
        if strength != self._current:
            set_strength(self._network, strength)
            self._current = strength


def _ramp(regularizer: RegularizerConfig) -> tuple[RampConfig | None, float]:
    match regularizer:
        case ShakeDropConfig() | RandomDropConfig() if regularizer.ramp.over.value > 0:
            return regularizer.ramp, regularizer.p_l
        case DropBlockConfig() if regularizer.ramp.over.value > 0:
            return regularizer.ramp, regularizer.drop_prob
        case _:
            return None, 0.0
