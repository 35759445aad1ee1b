"""What a RandomDrop unit computes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from service.regularization import RandomDrop, ShakeDrop

Coefficients = Callable[..., tuple[Tensor, Tensor]]


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_one_gate_of_probability_p_serves_the_batch_and_both_passes(
    coefficients: Coefficients, p: float
) -> None:
    unit = RandomDrop(p)
    gates = []
    for _ in range(1000):
        forward, backward = coefficients(unit, 3, 2, 2)
        assert torch.equal(forward, backward)
        gates.append(float(forward[0, 0, 0]))
        assert torch.equal(forward, torch.full_like(forward, gates[-1]))
    assert set(gates) <= {0.0, 1.0}  # no division by p
    # 5 standard errors of a mean of 1000 gates; at 0 and 1 there is no doubt.
    assert abs(sum(gates) / 1000 - p) <= 5 * (p * (1 - p) / 1000) ** 0.5


@pytest.mark.parametrize("training", [True, False])
def test_is_shakedrop_without_alpha_and_beta(coefficients: Coefficients, training: bool) -> None:
    shakedrop = ShakeDrop(0.5, (0.0, 0.0), (0.0, 0.0), level="batch", gate="batch")
    for seed in range(20):
        drawn = []
        for unit in (RandomDrop(0.5), shakedrop):
            torch.manual_seed(seed)
            drawn.append(torch.stack(coefficients(unit.train(training), 2, 3)))
        assert torch.equal(*drawn)


def test_evaluation_multiplies_by_p_and_draws_nothing(coefficients: Coefficients) -> None:
    before = torch.get_rng_state()
    for drawn in coefficients(RandomDrop(0.75).eval(), 2, 3):
        assert torch.equal(drawn, torch.full((2, 3), 0.75))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("training", [True, False])
def test_p_one_is_the_identity_bit_for_bit(training: bool) -> None:
    values = torch.tensor([[0.0, -0.0, 1e-45, -3e38, float("inf"), float("nan"), 0.1, -7.0]])
    output = RandomDrop(1.0).train(training)(values)
    assert torch.equal(output.view(torch.int32), values.view(torch.int32))


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_p_outside_its_range_is_named(p: float) -> None:
    with pytest.raises(ValueError, match=r"p is a probability, in \[0, 1\] \(got "):
        RandomDrop(p)
