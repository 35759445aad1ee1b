"""What a Shake-Shake unit computes.

Statistical bound: a sample mean or variance lies within 5 standard errors of its closed form (a
chance of 6e-7 to miss, and the seed is fixed).
"""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from service.regularization import ShakeShake
from service.regularization.shake_shake import BackwardMode, ForwardMode, ShakeShakeLevel

FORWARD = ("shake", "even")
BACKWARD = ("shake", "even", "keep")
LEVELS = ("batch", "image")
every_mode = pytest.mark.parametrize(
    ("forward", "backward", "level"), [*itertools.product(FORWARD, BACKWARD, LEVELS)]
)


def shares(unit: ShakeShake, *shape: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns α, and the shares of the gradient that the two branches get."""
    first = torch.ones(*shape, requires_grad=True)
    second = torch.zeros(*shape, requires_grad=True)
    output = unit(first, second)
    output.backward(torch.ones_like(output))
    assert first.grad is not None
    assert second.grad is not None
    return output.detach(), first.grad, second.grad


def draws(unit: ShakeShake, count: int) -> tuple[Tensor, Tensor]:
    """Returns `count` independent α and β."""
    if unit.level == "image":
        alpha, beta, _ = shares(unit, count, 1)
        return alpha.double().flatten(), beta.double().flatten()
    pairs = [shares(unit, 3, 2)[:2] for _ in range(count)]
    alpha, beta = (torch.stack([pair[k][1, 1] for pair in pairs]).double() for k in (0, 1))
    return alpha, beta


def assert_uniform(values: Tensor) -> None:
    """Mean 1/2 and variance 1/12; the variance of u1 / (u1 + u2) is 0.057."""
    centred = values - 0.5
    assert abs(centred.mean()) <= 5 * (1 / 12 / len(values)) ** 0.5
    squares = centred.square()
    assert abs(squares.mean() - 1 / 12) <= 5 * squares.std() / len(values) ** 0.5
    assert bool(((values >= 0) & (values <= 1)).all())


@every_mode
def test_moments_of_alpha_and_beta(
    forward: ForwardMode, backward: BackwardMode, level: ShakeShakeLevel
) -> None:
    alpha, beta = draws(ShakeShake(forward, backward, level), 50_000 if level == "image" else 1500)
    if forward == "shake":
        assert_uniform(alpha)
    else:
        assert torch.equal(alpha, torch.full_like(alpha, 0.5))
    if backward == "shake":
        assert_uniform(beta)
    elif backward == "even":
        assert torch.equal(beta, torch.full_like(beta, 0.5))
    else:
        assert torch.equal(beta, alpha)


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_and_beta_are_independent(level: ShakeShakeLevel) -> None:
    count = 50_000 if level == "image" else 1500
    alpha, beta = draws(ShakeShake("shake", "shake", level), count)
    # The product of two independent centred uniform draws has mean 0 and variance 1/144.
    assert abs(((alpha - 0.5) * (beta - 0.5)).mean()) <= 5 / 12 / count**0.5
    both_low = ((alpha < 0.5) & (beta < 0.5)).double().mean()
    assert abs(both_low - 0.25) <= 5 * (0.25 * 0.75 / count) ** 0.5


@every_mode
def test_level_is_the_shape_of_the_draws(
    forward: ForwardMode, backward: BackwardMode, level: ShakeShakeLevel
) -> None:
    alpha, beta, _ = shares(ShakeShake(forward, backward, level), 5, 4, 3, 2)
    drawn_backwards = forward if backward == "keep" else backward
    for drawn, mode in ((alpha, forward), (beta, drawn_backwards)):
        assert torch.equal(drawn, drawn[:, :1, :1, :1].expand_as(drawn))
        assert len(set(drawn.flatten().tolist())) == (
            5 if (mode, level) == ("shake", "image") else 1
        )


@every_mode
def test_the_branches_share_the_gradient_out(
    forward: ForwardMode, backward: BackwardMode, level: ShakeShakeLevel
) -> None:
    _, first, second = shares(ShakeShake(forward, backward, level), 4, 3, 2)
    assert torch.equal(first + second, torch.ones(4, 3, 2))


@every_mode
def test_output_mixes_two_branches_by_alpha(
    forward: ForwardMode, backward: BackwardMode, level: ShakeShakeLevel
) -> None:
    unit = ShakeShake(forward, backward, level)
    first, second = torch.randn(2, 4, 3, 5, 5)
    torch.manual_seed(5)
    alpha, _, _ = shares(unit, 4, 3, 5, 5)
    torch.manual_seed(5)
    torch.testing.assert_close(unit(first, second), alpha * first + (1 - alpha) * second)


@every_mode
def test_evaluation_is_the_mean_in_both_passes_and_draws_nothing(
    forward: ForwardMode, backward: BackwardMode, level: ShakeShakeLevel
) -> None:
    unit = ShakeShake(forward, backward, level).eval()
    before = torch.get_rng_state()
    for drawn in shares(unit, 4, 3, 2):
        assert torch.equal(drawn, torch.full((4, 3, 2), 0.5))
    assert torch.equal(torch.get_rng_state(), before)


def test_each_call_draws_anew_and_the_seed_repeats_it() -> None:
    unit = ShakeShake()
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(torch.stack([torch.stack(shares(unit, 4, 3)) for _ in range(8)]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert len(set(runs[0][:, 0, 0, 0].tolist())) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"forward_mode": "keep"}, r"forward_mode is one of shake, even \(got 'keep'\)"),
        ({"backward_mode": "odd"}, r"backward_mode is one of shake, even, keep \(got 'odd'\)"),
        ({"level": "pixel"}, r"level is one of batch, image \(got 'pixel'\)"),
    ],
)
def test_unknown_choices_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShakeShake(**arguments)


@pytest.mark.parametrize(
    "second",
    [torch.ones(2, 3, 1, 1), torch.ones(2, 3), torch.ones(2, 3, 4, 4, dtype=torch.bfloat16)],
)
def test_branches_that_do_not_fit_are_refused(second: Tensor) -> None:
    with pytest.raises(ValueError, match="mixes two branches of one shape and type"):
        ShakeShake()(torch.ones(2, 3, 4, 4), second)
