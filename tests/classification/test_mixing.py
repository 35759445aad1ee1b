"""mixup and CutMix: targets follow the pictures."""

import pytest
import torch

from service.classification.mixing import Mixing
from service.config.optimization import MixingConfig

CLASSES, SIDE = 4, 16
LABELS = torch.arange(4)
# The pictures of class c have the value c everywhere, so a mixed picture shows its own shares.
PICTURES = LABELS.float()[:, None, None, None].expand(4, 3, SIDE, SIDE).contiguous()


@pytest.mark.parametrize("config", [MixingConfig(mixup_alpha=0.4), MixingConfig(cutmix_alpha=1.0)])
def test_targets_are_the_shares_of_the_pictures(config: MixingConfig) -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        pictures, targets = Mixing(config, CLASSES)(PICTURES, LABELS)
        torch.testing.assert_close(targets.sum(1), torch.ones(4))
        mean = pictures.mean((1, 2, 3))
        torch.testing.assert_close(mean, targets @ torch.arange(4.0), atol=1e-4, rtol=0)


def test_no_mixing_returns_what_it_got() -> None:
    for config in (MixingConfig(), MixingConfig(mixup_alpha=1.0, probability=0.0)):
        mixing = Mixing(config, CLASSES)
        pictures, targets = mixing(PICTURES, LABELS)
        assert pictures is PICTURES
        assert targets is LABELS
        assert not mixing.active


def test_probability_and_choice_of_method() -> None:
    mixing = Mixing(MixingConfig(mixup_alpha=1.0, cutmix_alpha=1.0, probability=0.6), CLASSES)
    torch.manual_seed(0)
    draws = [mixing(PICTURES, LABELS) for _ in range(600)]
    mixed = [p for p, t in draws if t.dtype.is_floating_point]
    # Five standard errors of a share of 600 draws: 0.1.
    assert abs(len(mixed) / 600 - 0.6) < 0.1
    cut = [p for p in mixed if all(v.item().is_integer() for v in p.unique())]
    assert abs(len(cut) / len(mixed) - 0.5) < 0.14
