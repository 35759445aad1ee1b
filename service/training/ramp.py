"""A regulariser's strength over the run, as a function of the position."""

from collections.abc import Callable
from functools import partial

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


class RampedStrength:
    """A strength on its way along a ramp.

    It depends on the step alone, so that nothing of it belongs to a checkpoint beyond the position,
    and evaluation, which takes no step, never moves it.

    Args:
        ramp: The way.
        end: The strength at its end, which holds before the first step.
        set_to: Sets the strength, without waiting for the device.
    """

    def __init__(self, ramp: RampConfig, end: float, set_to: Callable[[float], None]) -> None:
        self._ramp = ramp
        self._end = end
        self._set_to = set_to
        self._current = end

    def move_to(self, step: int, length: RunLength) -> None:
        """Sets the strength with which a step is taken.

        Args:
            step: Optimiser steps taken before it.
            length: Length of the run.
        """
        strength = strength_at(self._ramp, self._end, step, length.steps, length.steps_per_epoch)
        if strength != self._current:
            self._set_to(strength)
            self._current = strength


class StrengthRamp:
    """Moves a network's strength along its configured ramp; does nothing without one.

    Args:
        network: The network as it was built, neither compiled nor wrapped.
        regularizer: Its regulariser.
    """

    def __init__(self, network: ResidualNetwork, regularizer: RegularizerConfig) -> None:
        self._network = network
        self._ramped = ramped_strength(regularizer, partial(set_strength, network))

    def change(self, regularizer: RegularizerConfig) -> None:
        """Sets other strengths; a ramp leads to the new end from the next step on.

        Raises:
            ValueError: It is another regulariser than the network's.
        """
        apply_strengths(self._network, regularizer)
        self._ramped = ramped_strength(regularizer, partial(set_strength, self._network))

    def move_to(self, step: int, length: RunLength) -> None:
        """Sets the strength with which a step is taken, without waiting for the device.

        Args:
            step: Optimiser steps taken before it.
            length: Length of the run.
        """
        if self._ramped is not None:
            self._ramped.move_to(step, length)


def ramped_strength(
    regularizer: RegularizerConfig, set_to: Callable[[float], None]
) -> RampedStrength | None:
    """Returns a regulariser's strength on its ramp; None where it has no strength or no ramp.

    Args:
        regularizer: The regulariser.
        set_to: Sets the strength, without waiting for the device.
    """
    match regularizer:
        case ShakeDropConfig() | RandomDropConfig() if regularizer.ramp.over.value > 0:
            return RampedStrength(regularizer.ramp, regularizer.p_l, set_to)
        case DropBlockConfig() if regularizer.ramp.over.value > 0:
            return RampedStrength(regularizer.ramp, regularizer.drop_prob, set_to)
        case _:
            return None
