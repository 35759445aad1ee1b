"""Regularisers of the residual branch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.config.base import Config, Probability, Range


class PlainSumConfig(Config):
    """No regulariser: a block adds its branch to its shortcut."""

    kind: Literal["none"] = "none"
    """The regulariser."""


class AlphaRange(Config):
    """The interval α is drawn from, evenly; an end left out follows the network's block order."""

    low: float | None = None
    """Lower end; null takes −1 where the branch ends the block, 0 where a ReLU follows the
    addition."""
    high: float | None = None
    """Upper end; null takes 1 where the branch ends the block, 0 where a ReLU follows the
    addition."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low must not exceed high (got low {self.low}, high {self.high})")
        return self


class ShakeDropConfig(Config):
    """ShakeDrop (arXiv 1802.02375): branch times b + α − bα, its gradient times b + β − bβ."""

    kind: Literal["shakedrop"] = "shakedrop"
    """The regulariser."""
    p_l: Probability = 0.5
    """P_L: the probability that the last block's branch passes unchanged; linear from nearly 1 at
    the first."""
    alpha: AlphaRange = AlphaRange()
    """Forward coefficient of a closed gate."""
    beta: Range = Range(low=0.0, high=1.0)
    """Backward coefficient of a closed gate."""
    level: Literal["batch", "image", "channel", "pixel"] = "pixel"
    """The shape of α and β: one draw for a batch, an image, a channel of an image, or every
    value."""
    gate: Literal["batch", "sample"] = "batch"
    """The shape of b: one draw for a block, a mini-batch and a worker, or one for each sample."""


RegularizerConfig = Annotated[PlainSumConfig | ShakeDropConfig, Field(discriminator="kind")]
