"""What a ShakeDrop unit computes."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from service.regularization import ShakeDrop
from service.regularization.shakedrop import Gate, Level

Coefficients = Callable[..., tuple[Tensor, Tensor]]

LEVELS = ("batch", "image", "channel", "pixel")
GATES = ("batch", "sample")
every_shape = pytest.mark.parametrize(("level", "gate"), [*itertools.product(LEVELS, GATES)])


def bits(values: Tensor) -> Tensor:
    return values.detach().contiguous().view(torch.int32)


class TestDraws:
    @every_shape
    def test_both_passes_share_the_gate_in_every_draw(
        self, coefficients: Coefficients, level: Level, gate: Gate
    ) -> None:
        # α and β that are never 1 tell an open gate from a closed one.
        unit = ShakeDrop(0.5, alpha=(2.0, 3.0), beta=(4.0, 5.0), level=level, gate=gate)
        open_gates = 0.0
        for _ in range(100):
            forward, backward = coefficients(unit, 4, 2, 3)
            assert torch.equal(forward == 1, backward == 1)
            open_gates += float((forward == 1).float().mean()) / 100
        assert 0.2 < open_gates < 0.8  # half, within 6 standard errors of 100 gates

    @every_shape
    def test_gradient_does_not_depend_on_alpha(
        self, coefficients: Coefficients, level: Level, gate: Gate
    ) -> None:
        gradients = []
        for alpha in ((-1.0, 1.0), (0.0, 0.0), (5.0, 9.0)):
            torch.manual_seed(3)
            unit = ShakeDrop(0.5, alpha=alpha, level=level, gate=gate)
            gradients.append(torch.stack([coefficients(unit, 3, 2, 2)[1] for _ in range(20)]))
        assert torch.equal(gradients[0], gradients[1])
        assert torch.equal(gradients[0], gradients[2])

    @pytest.mark.parametrize(
        ("level", "size"),
        [("batch", ()), ("image", (3,)), ("channel", (3, 4)), ("pixel", (3, 4, 5, 6))],
    )
    def test_level_is_the_shape_of_alpha_and_beta(
        self, coefficients: Coefficients, level: Level, size: tuple[int, ...]
    ) -> None:
        unit = ShakeDrop(0.0, level=level)
        for drawn in coefficients(unit, 3, 4, 5, 6):
            different = drawn[tuple(slice(None) if d < len(size) else 0 for d in range(4))]
            assert len(different.unique()) == different.numel()
            alike = different.reshape(*size, *[1] * (4 - len(size))).expand(3, 4, 5, 6)
            assert torch.equal(drawn, alike)

    @pytest.mark.parametrize(("gate", "gates"), [("batch", 1), ("sample", 64)])
    def test_gate_is_the_shape_of_b(
        self, coefficients: Coefficients, gate: Gate, gates: int
    ) -> None:
        unit = ShakeDrop(0.5, (0.0, 0.0), (0.0, 0.0), gate=gate)
        seen = set()
        for _ in range(20):
            for drawn in coefficients(unit, 64, 2, 3, 3):
                assert torch.equal(drawn, drawn[:, :1, :1, :1].expand_as(drawn))
                assert len(drawn[:, 0, 0, 0].unique()) == (1 if gates == 1 else 2)
                seen.update(drawn.unique().tolist())
        assert seen == {0.0, 1.0}

    @pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (3, 4, 5, 6, 2)])
    @every_shape
    def test_any_trailing_dimensions(
        self, coefficients: Coefficients, level: Level, gate: Gate, shape: tuple[int, ...]
    ) -> None:
        for drawn in coefficients(ShakeDrop(0.5, level=level, gate=gate), *shape):
            assert drawn.shape == shape

    def test_draws_are_reproducible_from_the_seed(self, coefficients: Coefficients) -> None:
        unit = ShakeDrop(0.5)
        runs = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            runs.append(torch.stack([torch.stack(coefficients(unit, 4, 3)) for _ in range(8)]))
        assert torch.equal(runs[0], runs[1])
        assert not torch.equal(runs[0], runs[2])

    def test_a_second_backward_pass_keeps_the_gate(self) -> None:
        unit = ShakeDrop(0.5, beta=(4.0, 5.0), level="image", gate="sample")
        branch = torch.ones(64, 1, requires_grad=True)
        output = unit(branch)
        first, second = (
            torch.autograd.grad(output.sum(), branch, retain_graph=True)[0] for _ in range(2)
        )
        assert torch.equal(first == 1, second == 1)

    @every_shape
    def test_all_gates_open_cost_nothing_on_a_cpu(self, level: Level, gate: Gate) -> None:
        branch = torch.ones(4, 3, requires_grad=True)
        assert ShakeDrop(1.0, level=level, gate=gate)(branch) is branch

    @every_shape
    def test_a_step_draws_as_much_whatever_the_gates_are(self, level: Level, gate: Gate) -> None:
        # What follows in a step then does not depend on them, nor on whether it is compiled.
        states = []
        for p in (0.0, 0.5, 1.0):
            torch.manual_seed(3)
            ShakeDrop(p, level=level, gate=gate)(torch.ones(4, 3, requires_grad=True)).sum()
            states.append(torch.get_rng_state())
        assert torch.equal(states[0], states[1])
        assert torch.equal(states[0], states[2])


class TestSpecialCases:
    @every_shape
    @pytest.mark.parametrize("training", [True, False])
    def test_p_one_is_the_identity_bit_for_bit(
        self, level: Level, gate: Gate, training: bool
    ) -> None:
        unit = ShakeDrop(1.0, (-3.0, 7.0), (5.0, 6.0), level=level, gate=gate).train(training)
        values = torch.tensor([0.0, -0.0, 1e-45, -3e38, float("inf"), float("nan"), 0.1, -7.0])
        branch = values.reshape(2, 2, 2).requires_grad_()
        output = unit(branch)
        gradient = torch.randn(2, 2, 2)
        output.backward(gradient)
        assert torch.equal(bits(output), bits(branch))
        assert branch.grad is not None
        assert torch.equal(bits(branch.grad), bits(gradient))

    def test_no_alpha_and_no_beta_is_random_drop(self, coefficients: Coefficients) -> None:
        unit = ShakeDrop(0.75, (0.0, 0.0), (0.0, 0.0), level="pixel", gate="sample")
        forward, backward = coefficients(unit, 400, 2, 2)
        assert set(forward.unique().tolist()) == {0.0, 1.0}  # no division by p
        assert torch.equal(forward, backward)
        expected, gradient = coefficients(unit.eval(), 400, 2, 2)
        assert torch.equal(expected, torch.full_like(expected, 0.75))
        assert torch.equal(gradient, expected)


class TestEvaluation:
    @pytest.mark.parametrize(
        ("p", "alpha", "expected"),
        [
            (0.5, (0.0, 1.0), 0.75),
            (0.5, (-1.0, 1.0), 0.5),
            (0.25, (-0.5, 2.0), 0.8125),
            (0.0, (-1.0, 0.0), -0.5),
            (1.0, (5.0, 9.0), 1.0),
        ],
    )
    def test_coefficient_follows_the_range_of_alpha_in_both_passes(
        self, coefficients: Coefficients, p: float, alpha: tuple[float, float], expected: float
    ) -> None:
        unit = ShakeDrop(p, alpha, (3.0, 4.0)).eval()
        for drawn in coefficients(unit, 2, 3, 4):
            assert torch.equal(drawn, torch.full((2, 3, 4), expected))

    def test_consumes_no_randomness(self) -> None:
        unit = ShakeDrop(0.5).eval()
        before = torch.get_rng_state()
        unit(torch.ones(2, 3, requires_grad=True)).sum().backward()
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p": 1.5}, r"p is a probability, in \[0, 1\] \(got 1.5\)"),
        ({"p": float("nan")}, "p is a probability"),
        ({"p": 0.5, "alpha": (1.0, -1.0)}, "alpha is a finite range"),
        ({"p": 0.5, "beta": (0.0, float("inf"))}, "beta is a finite range"),
        ({"p": 0.5, "level": "layer"}, "level is one of batch, image, channel, pixel"),
        ({"p": 0.5, "gate": "pixel"}, "gate is one of batch, sample"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        ShakeDrop(**arguments)
    assert "\n" not in str(error.value)
