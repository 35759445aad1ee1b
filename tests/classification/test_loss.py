"""Losses against their definitions."""

import math

import pytest
import torch

from service.classification.loss import build_loss
from service.config.optimization import BinaryCrossEntropyConfig, CrossEntropyConfig

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 1.0]])
LABELS = torch.tensor([0, 2])
SHARES = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.4, 0.6]])


def _cross_entropy(shares: torch.Tensor) -> float:
    log = LOGITS.double().log_softmax(1)
    return -(shares.double() * log).sum(1).mean().item()


def _binary(shares: torch.Tensor) -> float:
    p = LOGITS.double().sigmoid()
    return -(shares.double() * p.log() + (1 - shares.double()) * (1 - p).log()).mean().item()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_of_labels_and_of_shares(smoothing: float) -> None:
    hard = torch.nn.functional.one_hot(LABELS, 3).float()
    for targets, shares in ((LABELS, hard), (SHARES, SHARES)):
        smoothed = shares * (1 - smoothing) + smoothing / 3
        for config, expected in (
            (CrossEntropyConfig(label_smoothing=smoothing), _cross_entropy(smoothed)),
            (BinaryCrossEntropyConfig(label_smoothing=smoothing), _binary(smoothed)),
        ):
            loss = build_loss(config)(LOGITS, targets).item()
            assert math.isclose(loss, expected, rel_tol=1e-6), config


def test_above_the_threshold_a_class_of_a_mixed_picture_counts_in_full() -> None:
    full = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    loss = build_loss(BinaryCrossEntropyConfig(target_threshold=0.2))
    assert math.isclose(loss(LOGITS, SHARES).item(), _binary(full), rel_tol=1e-6)
    # A share that equals the threshold is not above it; labels stay what they are.
    small = torch.tensor([[0.8, 0.2, 0.0], [0.0, 0.2, 0.8]])
    hard = torch.nn.functional.one_hot(LABELS, 3).float()
    assert math.isclose(loss(LOGITS, small).item(), _binary(hard), rel_tol=1e-6)
    assert math.isclose(loss(LOGITS, LABELS).item(), _binary(hard), rel_tol=1e-6)


def test_the_loss_of_half_precision_logits_is_computed_in_fp32() -> None:
    for config in (CrossEntropyConfig(), BinaryCrossEntropyConfig()):
        assert build_loss(config)(LOGITS.bfloat16(), LABELS).dtype == torch.float32
