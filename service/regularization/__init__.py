"""Regularisers of residual networks, usable in any network."""

from service.regularization.depth import linear_decay
from service.regularization.drop_block import DropBlock2d, DropBlock3d
from service.regularization.random_drop import RandomDrop
from service.regularization.schedules import (
    ScheduledStrength,
    constant,
    linear_ramp,
    strength_at,
)
from service.regularization.shake_shake import ShakeShake
from service.regularization.shakedrop import ShakeDrop

__all__ = [
    "DropBlock2d",
    "DropBlock3d",
    "RandomDrop",
    "ScheduledStrength",
    "ShakeDrop",
    "ShakeShake",
    "constant",
    "linear_decay",
    "linear_ramp",
    "strength_at",
]
