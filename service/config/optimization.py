"""Optimisers, learning-rate schedules, averaging, loss and mixing."""

from typing import Annotated, Literal

from pydantic import Field

from service.config.base import (
    Config,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
)
from service.config.durations import Duration, DurationField


class OptimizerConfig(Config):
    """What all optimisers share."""

    lr: PositiveFloat = 0.1
    """Peak learning rate, at the reference batch size if there is one."""
    reference_batch_size: PositiveInt | None = None
    """Batch size `lr` is meant for; the learning rate grows linearly with the batch size over it.
    null takes `lr` as it is."""
    weight_decay: NonNegativeFloat = 1e-4
    """Weight decay of convolutions and of the classifier's weight."""
    norm_weight_decay: NonNegativeFloat = 0.0
    """Weight decay of normalisation parameters and of biases."""


class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    """The optimiser."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum."""
    nesterov: bool = True
    """Nesterov's momentum."""


class AdamWConfig(OptimizerConfig):
    """AdamW (arXiv 1711.05101)."""

    kind: Literal["adamw"] = "adamw"
    """The optimiser."""
    lr: PositiveFloat = 1e-3
    """Peak learning rate, at the reference batch size if there is one."""
    weight_decay: NonNegativeFloat = 0.05
    """Weight decay of convolutions and of the classifier's weight."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the first moment."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the second moment."""
    eps: PositiveFloat = 1e-8
    """Added to the denominator."""


class LAMBConfig(OptimizerConfig):
    """LAMB (arXiv 1904.00962), timm's implementation: needs the extra `lamb`."""

    kind: Literal["lamb"] = "lamb"
    """The optimiser."""
    lr: PositiveFloat = 5e-3
    """Peak learning rate, at the reference batch size if there is one."""
    weight_decay: NonNegativeFloat = 0.02
    """Weight decay of convolutions and of the classifier's weight."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the first moment."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the second moment."""
    eps: PositiveFloat = 1e-6
    """Added to the denominator."""


OptimizerChoice = Annotated[SGDConfig | AdamWConfig | LAMBConfig, Field(discriminator="kind")]


class WarmUpConfig(Config):
    """Linear growth of the learning rate at the start."""

    duration: DurationField = Duration(0, "ep")
    """Length, such as 5ep; 0ep for none."""
    start_factor: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the peak learning rate at the first step."""


class ScheduleConfig(Config):
    """What all schedules share. Every schedule moves once an optimiser step."""

    warm_up: WarmUpConfig = WarmUpConfig()
    """Linear growth at the start; the schedule proper covers the steps after it."""


class CosineConfig(ScheduleConfig):
    """Half a cosine from the peak to the end."""

    kind: Literal["cosine"] = "cosine"
    """The schedule."""
    end_factor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the peak learning rate at the end of the run."""


class LinearConfig(ScheduleConfig):
    """A straight line from the peak to the end."""

    kind: Literal["linear"] = "linear"
    """The schedule."""
    end_factor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the peak learning rate at the end of the run."""


class StepConfig(ScheduleConfig):
    """Multiplication at even intervals, counted from the start of the run."""

    kind: Literal["step"] = "step"
    """The schedule."""
    every: DurationField = Duration(30, "ep")
    """Interval."""
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What the learning rate is multiplied by."""


class MultiStepConfig(ScheduleConfig):
    """Multiplication at given moments, counted from the start of the run."""

    kind: Literal["multi_step"] = "multi_step"
    """The schedule."""
    at: tuple[DurationField, ...] = (Duration(0.5, "run"), Duration(0.75, "run"))
    """Moments, such as [150ep, 225ep]."""
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What the learning rate is multiplied by."""


class ConstantConfig(ScheduleConfig):
    """The peak learning rate throughout."""

    kind: Literal["constant"] = "constant"
    """The schedule."""


ScheduleChoice = Annotated[
    CosineConfig | LinearConfig | StepConfig | MultiStepConfig | ConstantConfig,
    Field(discriminator="kind"),
]


class AveragingConfig(Config):
    """Exponential moving average of the weights, evaluated beside them."""

    enabled: bool = False
    """Keep an average."""
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    """Share of the average kept at an update."""
    every: PositiveInt = 1
    """Optimiser steps between updates."""
    warm_up: bool = True
    """Use the smaller of `decay` and (1 + updates) / (10 + updates), so that the average forgets
    the random start."""


class CrossEntropyConfig(Config):
    """Softmax cross-entropy."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    """The loss."""
    label_smoothing: Probability = 0.0
    """Share of the target spread evenly over all classes."""


class BinaryCrossEntropyConfig(Config):
    """Sigmoid cross-entropy of each class, averaged (arXiv 2110.00476, section 3)."""

    kind: Literal["binary_cross_entropy"] = "binary_cross_entropy"
    """The loss."""
    label_smoothing: Probability = 0.0
    """Share of the target spread evenly over all classes."""
    target_threshold: Probability | None = None
    """Share of a mixed picture above which a class counts in full, and below which not at all; null
    takes the shares as they are."""


LossConfig = Annotated[CrossEntropyConfig | BinaryCrossEntropyConfig, Field(discriminator="kind")]


class MixingConfig(Config):
    """mixup and CutMix, drawn once a batch; with both, each batch takes one at random."""

    mixup_alpha: NonNegativeFloat = 0.0
    """α of mixup's Beta(α, α) (arXiv 1710.09412); 0 for none."""
    cutmix_alpha: NonNegativeFloat = 0.0
    """α of CutMix's Beta(α, α) (arXiv 1905.04899); 0 for none."""
    probability: Probability = 1.0
    """Share of batches that are mixed."""
