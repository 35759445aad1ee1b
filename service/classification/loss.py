"""Losses of a classifier, for hard labels and for mixed targets."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from service.config.optimization import BinaryCrossEntropyConfig, LossConfig

Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(config: LossConfig) -> Loss:
    """Returns the mean loss of a batch as a function of logits (n, C) and targets.

    Targets are labels, int64 (n,), or shares of classes, float (n, C).
    """
    smoothing = config.label_smoothing
    if isinstance(config, BinaryCrossEntropyConfig):
        threshold = config.target_threshold
        return lambda logits, targets: _binary_cross_entropy(logits, targets, smoothing, threshold)
    return lambda logits, targets: F.cross_entropy(
        logits.float(), targets, label_smoothing=smoothing
    )


def _binary_cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float, threshold: float | None
) -> Tensor:
    classes = logits.shape[1]
    shares = targets if targets.dtype.is_floating_point else F.one_hot(targets, classes)
    smoothed = shares.to(torch.float32) * (1 - smoothing) + smoothing / classes
    if threshold is not None:
        # After smoothing, as timm does it.
        smoothed = (smoothed > threshold).to(torch.float32)
    return F.binary_cross_entropy_with_logits(logits.float(), smoothed)
