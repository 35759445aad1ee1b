"""How strong a regulariser is in each block, when a network is built and when a schedule moves it.

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
from service.models.network import ResidualNetwork
from service.regularization import DropBlock2d, RandomDrop, ShakeDrop, linear_decay


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
    changed = _with_strength(network.regularizer, value)
    counts = [len(stage) for stage in network.stages]
    for block, strength in zip(network.blocks, strengths(changed, counts), strict=True):
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
