"""Which networks take which regularisers, and why others do not."""

from typing import get_args

from service.config.regularizer import DropBlockConfig, RegularizerConfig, ShakeShakeConfig
from service.models.design import Design

REGULARIZERS: tuple[RegularizerConfig, ...] = tuple(
    kind() for kind in get_args(get_args(RegularizerConfig)[0])
)
"""Every regulariser with its default strengths."""

_MIXED_BRANCHES = 2


def refusal(design: Design, config: RegularizerConfig) -> str | None:
    """Returns why a network does not take a regulariser, in one line, or None if it does.

    ShakeDrop and RandomDrop are defined for every residual block; ShakeDrop's Type A and B are the
    same in a block of one branch.

    Args:
        design: The network.
        config: The regulariser.
    """
    match config:
        case ShakeShakeConfig() if design.branches != _MIXED_BRANCHES:
            return (
                f"model.regularizer.kind: shake_shake mixes two residual branches and {design.name}"
                " has one; choose model.kind=shake_resnet, or cifar_resnext with branches=2"
            )
        case DropBlockConfig(stages=stages) if stages > len(design.stages):
            return (
                f"model.regularizer.stages: {stages} exceeds the {len(design.stages)} stages of "
                f"{design.name}"
            )
        case _:
            return None


def accepted(design: Design) -> tuple[str, ...]:
    """Returns the kinds of regularisers that a network takes with their default strengths."""
    return tuple(config.kind for config in REGULARIZERS if refusal(design, config) is None)
