"""The rules that add a block's branches to its shortcut: where a regulariser acts."""

from collections.abc import Sequence

from torch import Tensor, nn

from service.config.regularizer import PlainSumConfig, RegularizerConfig, ShakeDropConfig
from service.regularization import ShakeDrop, linear_decay


class Merge(nn.Module):
    """A rule that adds the branches of a residual block to its shortcut."""

    def forward(self, branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
        """Returns the block's output before any activation.

        Args:
            branches: F_1(x), F_2(x), …, each of shape (N, C, H, W); may be overwritten.
            shortcut: The block's input or its projection, of the same shape; left as it is.
        """
        raise NotImplementedError


class PlainSum(Merge):
    """x + F_1 + F_2 + …: no regulariser."""

    def forward(self, branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
        """Returns the sum of the branches and the shortcut."""
        output = sum(branches[1:], start=branches[0])
        output += shortcut
        return output


class ShakeDropSum(Merge):
    """x + D(F_1 + F_2 + …): one ShakeDrop unit after the sum of the branches (Type A)."""

    def __init__(self, shakedrop: ShakeDrop) -> None:
        super().__init__()
        self.shakedrop = shakedrop

    def forward(self, branches: Sequence[Tensor], shortcut: Tensor) -> Tensor:
        """Returns the shortcut plus the branches' sum times its coefficient."""
        output: Tensor = self.shakedrop(sum(branches[1:], start=branches[0]))
        output += shortcut
        return output


def build_merge(config: RegularizerConfig, block: int, blocks: int) -> Merge:
    """Returns the merge rule of block l of L.

    Args:
        config: The regulariser, with both ends of α's range given (`resolved` fills them in).
        block: l, counted from 1 through all stages.
        blocks: L, the number of residual blocks.

    Raises:
        ValueError: An end of α's range is left open, or the block is outside 1..L.
    """
    match config:
        case PlainSumConfig():
            return PlainSum()
        case ShakeDropConfig(alpha=alpha, beta=beta):
            if alpha.low is None or alpha.high is None:
                raise ValueError("alpha has an open end; fill it in with service.models.resolved")
            shakedrop = ShakeDrop(
                linear_decay(block, blocks, config.p_l),
                alpha=(alpha.low, alpha.high),
                beta=(beta.low, beta.high),
                level=config.level,
                gate=config.gate,
            )
            return ShakeDropSum(shakedrop)
