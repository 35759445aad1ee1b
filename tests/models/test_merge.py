"""The rules that add branches to the shortcut."""

import pytest
import torch
from torch import Tensor

from service.config.base import Range
from service.config.regularizer import (
    AlphaRange,
    DropBlockConfig,
    PlainSumConfig,
    RandomDropConfig,
    ShakeDropConfig,
    ShakeShakeConfig,
)
from service.models.merge import (
    DroppedMaps,
    Merge,
    MixedBranches,
    PlainSum,
    UnitOnEachBranch,
    UnitOnSum,
    build_merge,
)
from service.regularization import DropBlock2d, RandomDrop, ShakeDrop, ShakeShake

SHORTCUT = torch.tensor([[1.0, 2.0]])
DRAWS = 4000


def fixed(coefficient: float) -> ShakeDrop:
    """ShakeDrop whose gate is always closed and whose α is known."""
    return ShakeDrop(0.0, alpha=(coefficient, coefficient), beta=(0.0, 0.0))


def constants(*values: float) -> list[Tensor]:
    return [torch.full((1, 2), value, requires_grad=True) for value in values]


@pytest.mark.parametrize("branches", [1, 2, 3])
def test_plain_sum_adds_all_branches_and_leaves_the_shortcut(branches: int) -> None:
    shortcut = SHORTCUT.clone()
    output = PlainSum()([torch.full((1, 2), 10.0) for _ in range(branches)], shortcut)
    assert torch.equal(output, SHORTCUT + 10 * branches)
    assert torch.equal(shortcut, SHORTCUT)


def test_type_a_has_one_unit_after_the_sum() -> None:
    output = UnitOnSum(fixed(0.5))(constants(10.0, 20.0), SHORTCUT)
    assert torch.equal(output, SHORTCUT + 0.5 * 30)


def test_type_b_has_one_unit_for_each_branch() -> None:
    output = UnitOnEachBranch([fixed(0.5), fixed(-1.0)])(constants(10.0, 20.0), SHORTCUT)
    assert torch.equal(output, SHORTCUT + 0.5 * 10 - 20)


def test_shake_shake_mixes_instead_of_adding() -> None:
    merge = MixedBranches(ShakeShake("even", "even"))
    assert torch.equal(merge(constants(10.0, 20.0), SHORTCUT), SHORTCUT + 15)


@pytest.mark.parametrize(
    ("dropped", "expected"), [("on_shortcut", 30.0), ("0", 21.0), ("1", 11.0), ("", 31.0)]
)
def test_drop_block_takes_each_term_by_itself(dropped: str, expected: float) -> None:
    merge = DroppedMaps(DropBlock2d(0.0, 7), [DropBlock2d(0.0, 7) for _ in range(2)])
    for name, module in merge.named_modules():
        if isinstance(module, DropBlock2d) and name.endswith(dropped or "nothing"):
            module.drop_prob.fill_(1.0)
    terms = [torch.full((1, 1, 3, 3), value) for value in (10.0, 20.0)]
    output = merge(terms, torch.ones(1, 1, 3, 3))
    assert torch.equal(output, torch.full((1, 1, 3, 3), expected))


def drawn(config: ShakeDropConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs for branches of 1 and 10, and the gradients of both, over many draws."""
    merge = build_merge(config, strength=0.5, branches=2)
    first, second = torch.tensor([[1.0]]), torch.tensor([[10.0]])
    outputs, gradients = [], []
    for _ in range(DRAWS):
        branches = [first.clone().requires_grad_(), second.clone().requires_grad_()]
        output = merge([branch * 1 for branch in branches], torch.zeros(1, 1))
        gradients.append(torch.cat(torch.autograd.grad(output.sum(), branches)))
        outputs.append(output.detach())
    both = torch.stack(gradients)
    return torch.cat(outputs).squeeze(1), both[:, 0, 0], both[:, 1, 0]


GATES_ONLY = ShakeDropConfig(
    alpha=AlphaRange(low=0.0, high=0.0), beta=Range(low=0.0, high=0.0), level="batch"
)


@pytest.mark.parametrize(
    ("placement", "outcomes"), [("sum", (0.0, 11.0)), ("branch", (0.0, 1.0, 10.0, 11.0))]
)
def test_type_a_draws_one_gate_and_type_b_two(placement: str, outcomes: tuple[float, ...]) -> None:
    output, first, second = drawn(GATES_ONLY.model_copy(update={"placement": placement}))
    share = 1 / len(outcomes)
    error = (share * (1 - share) / DRAWS) ** 0.5
    for outcome in outcomes:
        assert float((output == outcome).float().mean()) == pytest.approx(
            share, abs=5 * error
        )  # 5 standard errors
    assert set(output.tolist()) == set(outcomes)
    # The backward pass obeys the same gates.
    assert torch.equal(first + 10 * second, output)
    assert torch.equal(first, second) == (placement == "sum")


@pytest.mark.parametrize(("placement", "variance"), [("sum", 121.0), ("branch", 101.0)])
def test_type_a_draws_one_alpha_and_beta_and_type_b_two(placement: str, variance: float) -> None:
    config = ShakeDropConfig(
        alpha=AlphaRange(low=-1.0, high=1.0),
        beta=Range(low=-1.0, high=1.0),
        level="batch",
        placement=placement,
    )
    output, first, second = drawn(config)
    # c is 1 with p = 0.5 and else U[-1, 1]: E[c] 0.5, Var[c] 5/12. Forwards it scales 1 and 10 as
    # one (11² Var) or apart ((1 + 10²) Var). The variance of a sample variance is below E[(c−μ)⁴]
    # scaled likewise over DRAWS, and |c − μ| ≤ 1.5.
    expected = variance * 5 / 12
    error = variance * 1.5**2 / DRAWS**0.5
    assert float(output.var()) == pytest.approx(expected, abs=5 * error)  # 5 standard errors
    correlation = float(torch.corrcoef(torch.stack([first, second]))[0, 1])
    if placement == "sum":
        assert torch.equal(first, second)
    else:
        assert correlation == pytest.approx(0, abs=5 / DRAWS**0.5)  # 5 standard errors


def test_build_merge_takes_every_field_of_shakedrop() -> None:
    config = ShakeDropConfig(
        p_l=0.2,
        alpha=AlphaRange(low=-0.5, high=0.25),
        beta=Range(low=0.125, high=2.0),
        level="channel",
        gate="sample",
    )
    for placement, kind in (("sum", UnitOnSum), ("branch", UnitOnEachBranch)):
        placed = config.model_copy(update={"placement": placement})
        merge = build_merge(placed, strength=0.6, branches=2)
        assert isinstance(merge, kind)
        units = [module for module in merge.modules() if isinstance(module, ShakeDrop)]
        assert len(units) == (1 if placement == "sum" else 2)
        for unit in units:
            assert float(unit.p) == pytest.approx(0.6)
            assert unit.alpha.tolist() == [-0.5, 0.25]
            assert unit.beta.tolist() == [0.125, 2.0]
            assert (unit.level, unit.gate) == ("channel", "sample")


def test_build_merge_takes_every_field_of_the_others() -> None:
    mixed = build_merge(
        ShakeShakeConfig(forward="even", backward="keep", level="batch"), None, branches=2
    )
    assert isinstance(mixed, MixedBranches)
    unit = mixed.unit
    assert (unit.forward_mode, unit.backward_mode, unit.level) == ("even", "keep", "batch")
    dropped = build_merge(DropBlockConfig(block_size=3, share_channels=True), 0.25, branches=2)
    assert isinstance(dropped, DroppedMaps)
    blocks = [module for module in dropped.modules() if isinstance(module, DropBlock2d)]
    assert len(blocks) == 3
    for block in blocks:
        assert (float(block.drop_prob), block.block_size) == (0.25, 3)
        assert block.share_channels
    random = build_merge(RandomDropConfig(), 0.75, branches=2)
    assert isinstance(random, UnitOnSum)
    assert isinstance(random.unit, RandomDrop)
    assert float(random.unit.p) == 0.75


@pytest.mark.parametrize("config", [PlainSumConfig(), DropBlockConfig()])
def test_nothing_to_do_is_a_plain_sum(config: PlainSumConfig | DropBlockConfig) -> None:
    assert isinstance(build_merge(config, None, branches=1), PlainSum)


@pytest.mark.parametrize(
    "merge",
    [
        UnitOnSum(RandomDrop(0.5)),
        UnitOnEachBranch([RandomDrop(0.5), RandomDrop(0.5)]),
        MixedBranches(ShakeShake()),
        DroppedMaps(DropBlock2d(0.5, 2), [DropBlock2d(0.5, 2), DropBlock2d(0.5, 2)]),
    ],
    ids=lambda merge: type(merge).__name__,
)
@pytest.mark.parametrize("training", [True, False])
def test_every_rule_leaves_the_shortcut(merge: Merge, training: bool) -> None:
    shortcut = torch.randn(2, 3, 4, 4)
    before = shortcut.clone()
    merge.train(training)([torch.randn(2, 3, 4, 4) for _ in range(2)], shortcut)
    assert torch.equal(shortcut, before)


def test_an_open_end_of_alpha_is_an_error() -> None:
    with pytest.raises(ValueError, match="alpha has an open end"):
        build_merge(ShakeDropConfig(alpha=AlphaRange(low=0.0)), 0.5, branches=1)
