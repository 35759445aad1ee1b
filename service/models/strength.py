"""How strong a regulariser is in each block, when a network is built and when that changes later.

Strengths are buffers, which change in place: a step that follows waits for nothing and compiles
nothing anew.
"""

from collections.abc import Sequence

from service.config.regularizer import (
    DropBlockConfig,
    RandomDropConfig,
    RegularizerConfig,
    ShakeDropConfig,
)
from service.models.merge import coefficient_ranges
from service.models.network import ResidualNetwork
from service.regularization import DropBlock2d, RandomDrop, ShakeDrop, linear_decay

# The other fields say what a block consists of, or belong to the schedule.
_STRENGTHS = {"p_l", "alpha", "beta", "drop_prob", "earlier_factor", "ramp"}


def strengths(config: RegularizerConfig, blocks: Sequence[int]) -> list[float | None]:
    """Returns the regulariser's strength in each block, first to last.

    For ShakeDrop and RandomDrop that is p_l by linear decay over all blocks; for DropBlock its
    drop_prob, which is `earlier_factor` times the last stage's in the regularised stages before it.
    None stands where a block has no strength: without a regulariser, under Shake-Shake, and in the
    stages that DropBlock leaves alone.

    Args:
        config: The regulariser.
        blocks: Number of blocks of each stage.

    Raises:
        ValueError: P_L is outside [0, 1].
    """
    total = sum(blocks)
    match config:
        case ShakeDropConfig(p_l=p_l) | RandomDropConfig(p_l=p_l):
            return [linear_decay(block, total, p_l) for block in range(1, total + 1)]
        case DropBlockConfig():
            earlier = config.drop_prob * config.earlier_factor
            stages: list[float | None] = [None] * len(blocks)
            stages[-config.stages :] = [earlier] * (config.stages - 1) + [config.drop_prob]
            return [stage for stage, n in zip(stages, blocks, strict=True) for _ in range(n)]
        case _:
            return [None] * total


def set_strength(network: ResidualNetwork, value: float) -> None:
    """Sets a network's regulariser to another strength, as if it had been built with it.

    For a schedule: call it before each step. It works in place on the network's device, without
    waiting for it; nothing is compiled anew. Give the network itself where it is wrapped (DDP,
    `torch.compile`).

    Args:
        network: A network with ShakeDrop, RandomDrop or DropBlock.
        value: P_L of ShakeDrop and RandomDrop, drop_prob of DropBlock, in [0, 1].

    Raises:
        ValueError: The value is outside [0, 1], or the network's regulariser has no strength.
    """
    _set_depthwise(network, _with_strength(network.regularizer, value))


def apply_strengths(network: ResidualNetwork, config: RegularizerConfig) -> None:
    """Sets all strengths of a network's regulariser, as if it had been built with them.

    P_L or drop_prob in every block, and the ranges of α and β, on which the coefficient in
    evaluation depends too. It works in place as `set_strength` does.

    Args:
        network: A network, neither compiled nor wrapped.
        config: The regulariser it was built with, but for its strengths; α's range has both ends.

    Raises:
        ValueError: The network was built with another regulariser, or α's range has an open end.
    """
    built = network.regularizer
    if built.model_dump(exclude=_STRENGTHS) != config.model_dump(exclude=_STRENGTHS):
        raise ValueError(
            f"only strengths can change in a network (built with {built}, got {config})"
        )
    if isinstance(config, ShakeDropConfig):
        _set_ranges(network, *coefficient_ranges(config))
    _set_depthwise(network, config)
    network.regularizer = config


def _set_ranges(
    network: ResidualNetwork, alpha: tuple[float, float], beta: tuple[float, float]
) -> None:
    for unit in network.modules():
        if isinstance(unit, ShakeDrop):
            unit.alpha[0], unit.alpha[1] = alpha
            unit.beta[0], unit.beta[1] = beta


def _set_depthwise(network: ResidualNetwork, config: RegularizerConfig) -> None:
    counts = [len(stage) for stage in network.stages]
    for block, strength in zip(network.blocks, strengths(config, counts), strict=True):
        if strength is None:
            continue
        for unit in block.modules():
            if isinstance(unit, ShakeDrop | RandomDrop):
                unit.p.fill_(strength)
            elif isinstance(unit, DropBlock2d):
                unit.drop_prob.fill_(strength)


def _with_strength(config: RegularizerConfig, value: float) -> RegularizerConfig:
    if not 0 <= value <= 1:
        raise ValueError(f"a strength lies in [0, 1] (got {value})")
    match config:
        case ShakeDropConfig() | RandomDropConfig():
            return config.model_copy(update={"p_l": value})
        case DropBlockConfig():
            return config.model_copy(update={"drop_prob": value})
        case _:
            raise ValueError(f"the regulariser {config.kind} has no strength to set")
