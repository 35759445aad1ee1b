"""Units that add the shortcut in the pass in which they scale the branch."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor

from service.regularization import RandomDrop, ShakeDrop, scaling
from service.regularization.shakedrop import Gate, Level

Make = Callable[[float], ShakeDrop | RandomDrop]

UNITS: dict[str, Make] = {
    "random_drop": RandomDrop,
    **{
        f"{level}-{gate}": partial(ShakeDrop, level=level, gate=gate)
        for level, gate in itertools.product(get_args(Level), get_args(Gate))
    },
}
every_unit = pytest.mark.parametrize("make", [pytest.param(UNITS[name], id=name) for name in UNITS])
SHAPE = (6, 5, 4, 3)


def passes(unit: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> list[Tensor]:
    """The output of a unit, and the gradients of the branch and of the shortcut."""
    draw = torch.Generator().manual_seed(1)
    given, shortcut, gradient = torch.randn(3, *SHAPE, generator=draw).to(dtype).unbind()
    given, shortcut = given.clone().requires_grad_(), shortcut.clone().requires_grad_()
    before = shortcut.detach().clone()
    torch.manual_seed(2)
    output = unit(given * 2, shortcut)
    gradients = torch.autograd.grad(output, (given, shortcut), gradient)
    assert torch.equal(shortcut, before)
    return [output.detach(), *gradients]


@every_unit
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_is_the_sum_in_one_pass(make: Make, p: float, training: bool, dtype: torch.dtype) -> None:
    unit = make(p).train(training)
    output, of_branch, of_shortcut = passes(unit, dtype)
    expected, *gradients = passes(lambda branch, shortcut: unit(branch) + shortcut, dtype)
    assert output.dtype == dtype
    # The sum of a product is rounded once instead of twice.
    assert (output - expected).abs().max() <= torch.finfo(dtype).eps * 8
    assert torch.equal(of_branch, gradients[0])
    assert torch.equal(of_shortcut, gradients[1])
    if p == 1:
        assert torch.equal(output, expected)


@every_unit
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_sum_takes_the_branchs_place_in_memory(
    make: Make, order: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "_PIECE", 100)
    shortcut = torch.randn(SHAPE).to(memory_format=order)
    for p in (0.0, 1.0):
        branch = torch.randn(SHAPE, requires_grad=True).to(memory_format=order) * 1
        output = make(p)(branch, shortcut)
        assert output.data_ptr() == branch.data_ptr()
        assert output.is_contiguous(memory_format=order)


def test_a_branch_that_lies_scattered_in_memory_is_added_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scaling, "_PIECE", 100)
    unit = ShakeDrop(0.0, alpha=(2.0, 2.0), level="pixel")
    branch, shortcut = torch.randn(6, 8, 4, 4)[::2, 1:5], torch.randn(3, 4, 4, 4)
    expected = shortcut + 2 * branch
    torch.testing.assert_close(unit(branch, shortcut), expected)


@every_unit
def test_a_frozen_branch_leaves_the_gradient_of_the_shortcut(make: Make) -> None:
    shortcut = torch.randn(SHAPE, requires_grad=True)
    make(0.0)(torch.randn(SHAPE), shortcut).sum().backward()
    assert shortcut.grad is not None
    assert torch.equal(shortcut.grad, torch.ones(SHAPE))
