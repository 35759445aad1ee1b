"""The rules that add a block's branches to its shortcut: where a regulariser acts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from service.config.regularizer import (
    DropBlockConfig,
    RandomDropConfig,
    RegularizerConfig,
    ShakeDropConfig,
    ShakeShakeConfig,
)
from service.regularization import DropBlock2d, RandomDrop, ShakeDrop, ShakeShake


class Merge(nn.Module, ABC):
    """A rule that adds the branches of a residual block to its shortcut."""

    @abstractmethod
    def forward(self, branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
        """Returns the block's output before any activation.

        Args:
            branches: F_1(x), F_2(x), …, each of shape (N, C, H, W); may be overwritten.
            shortcut: The block's input or its projection, of the same shape; left as it is.
        """


class PlainSum(Merge):
    """x + F_1 + F_2 + …: no regulariser."""

    def forward(self, branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
        """Returns the sum of the branches and the shortcut."""
        return _added(branches, shortcut)


class UnitOnSum(Merge):
    """x + D(F_1 + F_2 + …): one unit after the sum of the branches (ShakeDrop's Type A).

    Args:
        unit: ShakeDrop or RandomDrop, which add the shortcut in the same pass.
    """

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
        """Returns the shortcut plus the branches' sum times its coefficient."""
        output: Tensor = self.unit(sum(branches[1:], start=branches[0]), shortcut)
        return output


class UnitOnEachBranch(Merge):
    """x + D_1(F_1) + D_2(F_2) + …: a unit a branch, each with its own draws (Type B)."""

    def __init__(self, units: Sequence[nn.Module]) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)

    def forward(self, branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
        """Returns the shortcut plus each branch times its coefficient."""
        disturbed = [unit(branch) for unit, branch in zip(self.units, branches, strict=True)]
        return _added(disturbed, shortcut)


class MixedBranches(Merge):
    """x + S(F_1, F_2): two branches mixed at random (Shake-Shake)."""

    def __init__(self, unit: ShakeShake) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
        """Returns the shortcut plus the mixture of the two branches."""
        first, second = branches
        return _added([self.unit(first, second)], shortcut)


class DroppedMaps(Merge):
    """D_0(x) + D_1(F_1) + D_2(F_2) + …: blocks dropped of the shortcut and of each branch.

    The shortcut loses blocks where it is the identity, too, as in the authors' code.
    """

    def __init__(self, on_shortcut: nn.Module, on_branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.on_shortcut = on_shortcut
        self.on_branches = UnitOnEachBranch(on_branches)

    def forward(self, branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
        """Returns the sum of the maps with blocks dropped from each."""
        output: Tensor = self.on_branches(branches, self.on_shortcut(shortcut))
        return output


def build_merge(config: RegularizerConfig, strength: float | None, branches: int) -> Merge:
    """Returns the merge rule of one block.

    Args:
        config: The regulariser, with both ends of α's range given (`resolved` fills them in).
        strength: Strength in this block, see `service.models.strength.strengths`.
        branches: Residual branches of the block.

    Raises:
        ValueError: An end of α's range is left open.
    """
    match config:
        case ShakeShakeConfig():
            return MixedBranches(ShakeShake(config.forward, config.backward, config.level))
        case ShakeDropConfig(placement="branch") if strength is not None:
            return UnitOnEachBranch([_shakedrop(config, strength) for _ in range(branches)])
        case ShakeDropConfig() if strength is not None:
            return UnitOnSum(_shakedrop(config, strength))
        case RandomDropConfig() if strength is not None:
            return UnitOnSum(RandomDrop(strength))
        case DropBlockConfig() if strength is not None:
            drop = _drop_block(config, strength)
            return DroppedMaps(drop(), [drop() for _ in range(branches)])
        case _:
            return PlainSum()


def build_inner_drop(
    config: RegularizerConfig, strength: float | None
) -> Callable[[], nn.Module] | None:
    """Returns what makes the units that stand after each ReLU inside a branch; None for no units.

    They are DropBlock's second and third place in a bottleneck (arXiv 1810.12890); its first and
    last, the shortcut and the end of the branch, are the merge rule's.

    Other blocks follow suit: a basic block has one ReLU inside a branch, so three places in all;
    a shared entry's ReLU is not inside; a branch may end with a convolution (pre-activation).

    Args:
        config: The regulariser.
        strength: Strength in this block.
    """
    if isinstance(config, DropBlockConfig) and strength is not None:
        return _drop_block(config, strength)
    return None


def coefficient_ranges(config: ShakeDropConfig) -> tuple[tuple[float, float], tuple[float, float]]:
    """Returns the ranges of α and β, each (low, high).

    Raises:
        ValueError: An end of α's range is left open.
    """
    alpha, beta = config.alpha, config.beta
    if alpha.low is None or alpha.high is None:
        raise ValueError("alpha has an open end; fill it in with service.models.resolved")
    return (alpha.low, alpha.high), (beta.low, beta.high)


def _drop_block(config: DropBlockConfig, drop_prob: float) -> Callable[[], DropBlock2d]:
    return partial(DropBlock2d, drop_prob, config.block_size, config.share_channels)


def _shakedrop(config: ShakeDropConfig, p: float) -> ShakeDrop:
    alpha, beta = coefficient_ranges(config)
    return ShakeDrop(p, alpha, beta, level=config.level, gate=config.gate)


def _added(branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
    output = sum(branches[1:], start=branches[0])
    output += shortcut
    return output
