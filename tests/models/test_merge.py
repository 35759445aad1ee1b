"""The rules that add branches to the shortcut."""

import pytest
import torch

from service.config.base import Range
from service.config.regularizer import AlphaRange, PlainSumConfig, ShakeDropConfig
from service.models.merge import PlainSum, ShakeDropSum, build_merge
from service.regularization import ShakeDrop

SHORTCUT = torch.tensor([[1.0, 2.0]])


@pytest.mark.parametrize("branches", [1, 2, 3])
def test_plain_sum_adds_all_branches_and_leaves_the_shortcut(branches: int) -> None:
    shortcut = SHORTCUT.clone()
    output = PlainSum()([torch.full((1, 2), 10.0) for _ in range(branches)], shortcut)
    assert torch.equal(output, SHORTCUT + 10 * branches)
    assert torch.equal(shortcut, SHORTCUT)


def test_one_shakedrop_unit_takes_the_sum_of_the_branches() -> None:
    merge = ShakeDropSum(ShakeDrop(0.0, alpha=(0.5, 0.5), beta=(0.0, 0.0)))
    branches = [torch.full((1, 2), value, requires_grad=True) for value in (10.0, 20.0)]
    output = merge(branches, SHORTCUT)
    assert torch.equal(output, SHORTCUT + 0.5 * 30)


def test_build_merge_takes_every_field_of_the_configuration() -> None:
    config = ShakeDropConfig(
        p_l=0.2,
        alpha=AlphaRange(low=-0.5, high=0.25),
        beta=Range(low=0.125, high=2.0),
        level="channel",
        gate="sample",
    )
    merge = build_merge(config, block=2, blocks=4)
    assert isinstance(merge, ShakeDropSum)
    unit = merge.shakedrop
    assert float(unit.p) == pytest.approx(0.6)
    assert unit.alpha.tolist() == [-0.5, 0.25]
    assert unit.beta.tolist() == [0.125, 2.0]
    assert (unit.level, unit.gate) == ("channel", "sample")


def test_no_regulariser_is_a_plain_sum() -> None:
    assert isinstance(build_merge(PlainSumConfig(), 1, 1), PlainSum)


def test_an_open_end_of_alpha_is_an_error() -> None:
    with pytest.raises(ValueError, match="alpha has an open end"):
        build_merge(ShakeDropConfig(alpha=AlphaRange(low=0.0)), 1, 1)
