"""Regularisers of residual networks."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.config.base import Config, PositiveInt, Probability, Range
from service.config.durations import Duration, DurationField


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


class RampConfig(Config):
    """A straight line from `start` to the configured strength, both ends included."""

    over: DurationField = Duration(0.0, "run")
    """Stretch from the start of the run over which the strength moves; 0run for none."""
    start: Probability = 1.0
    """Strength at the first step; 1 leaves every branch alone."""


class DropRampConfig(RampConfig):
    """A ramp of a probability to drop, which begins with dropping nothing."""

    start: Probability = 0.0
    """Strength at the first step; 0 drops nothing."""


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
    placement: Literal["sum", "branch"] = "sum"
    """In blocks of several branches: `sum` has one unit after their sum (the paper's Type A),
    `branch` one for each (Type B)."""
    ramp: RampConfig = RampConfig()
    """How P_L reaches its value."""


class RandomDropConfig(Config):
    """RandomDrop, stochastic depth (arXiv 1603.09382): branch and its gradient times b."""

    kind: Literal["random_drop"] = "random_drop"
    """The regulariser."""
    p_l: Probability = 0.5
    """P_L: the probability that the last block's branch passes unchanged; linear from nearly 1 at
    the first."""
    ramp: RampConfig = RampConfig()
    """How P_L reaches its value."""


class ShakeShakeConfig(Config):
    """Shake-Shake (arXiv 1705.07485): two branches mixed by α, their gradients by β."""

    kind: Literal["shake_shake"] = "shake_shake"
    """The regulariser."""
    forward: Literal["shake", "even"] = "shake"
    """α, the first branch's share of the output: `shake` draws it evenly from [0, 1], `even` is
    0.5."""
    backward: Literal["shake", "even", "keep"] = "shake"
    """β, the first branch's share of the gradient: `shake` draws it evenly from [0, 1], `even` is
    0.5, `keep` is α."""
    level: Literal["batch", "image"] = "image"
    """The shape of α and β: one draw for a batch, or one for each image."""


class DropBlockConfig(Config):
    """DropBlock (arXiv 1810.12890): zeros square blocks of feature maps and rescales the rest."""

    kind: Literal["drop_block"] = "drop_block"
    """The regulariser."""
    drop_prob: Probability = 0.1
    """Share of a map that is dropped in the last stage, before the overlap of blocks lowers it."""
    block_size: PositiveInt = 7
    """Side of a block in values; a smaller map is dropped as a whole."""
    share_channels: bool = False
    """Drop the same blocks in all channels of an image."""
    stages: PositiveInt = 2
    """Number of last stages that are regularised."""
    earlier_factor: Probability = 0.25
    """Strength of the regularised stages before the last, relative to the last."""
    ramp: DropRampConfig = DropRampConfig()
    """How drop_prob reaches its value."""


RegularizerConfig = Annotated[
    PlainSumConfig | ShakeDropConfig | RandomDropConfig | ShakeShakeConfig | DropBlockConfig,
    Field(discriminator="kind"),
]
