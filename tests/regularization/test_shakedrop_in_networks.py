"""How a ShakeDrop unit behaves inside a network: types, memory, gradients, recomputation."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from service.regularization import ShakeDrop
from service.regularization.shakedrop import Gate, Level

Coefficients = Callable[..., tuple[Tensor, Tensor]]

LEVELS = ("batch", "image", "channel", "pixel")
GATES = ("batch", "sample")
every_shape = pytest.mark.parametrize(("level", "gate"), [*itertools.product(LEVELS, GATES)])


class TestTypesAndMemory:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    @pytest.mark.parametrize("training", [True, False])
    @every_shape
    def test_output_and_gradient_keep_the_type(
        self,
        coefficients: Coefficients,
        level: Level,
        gate: Gate,
        training: bool,
        dtype: torch.dtype,
    ) -> None:
        unit = ShakeDrop(0.5, level=level, gate=gate).train(training)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            under_autocast = coefficients(unit, 2, 3, 2, 2, dtype=dtype)
        for drawn in (*coefficients(unit, 2, 3, 2, 2, dtype=dtype), *under_autocast):
            assert drawn.dtype == dtype

    def test_a_network_cast_to_half_precision_still_draws(self, coefficients: Coefficients) -> None:
        unit = ShakeDrop(0.5, (2.0, 3.0)).to(torch.bfloat16)
        forward, _ = coefficients(unit, 8, 4, dtype=torch.bfloat16)
        assert forward.dtype == torch.bfloat16

    @every_shape
    def test_keeps_the_memory_order(self, level: Level, gate: Gate) -> None:
        branch = torch.randn(2, 8, 4, 4).to(memory_format=torch.channels_last)
        output = ShakeDrop(0.5, level=level, gate=gate)(branch)
        assert output.is_contiguous(memory_format=torch.channels_last)

    @every_shape
    def test_keeps_nothing_branch_sized_for_the_backward_pass(
        self, level: Level, gate: Gate
    ) -> None:
        kept: list[int] = []

        def pack(value: Tensor) -> Tensor:
            kept.append(value.numel())
            return value

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            ShakeDrop(0.5, level=level, gate=gate)(torch.ones(4, 64, 8, 8, requires_grad=True))
        assert sum(kept) <= 2 * 4 + 2  # low and high of β for each gate, and β's key

    def test_state_dict_is_empty(self) -> None:
        assert ShakeDrop(0.5).state_dict() == {}
        ShakeDrop(0.5).load_state_dict({}, strict=True)

    def test_nothing_is_read_from_the_device(self) -> None:
        # Meta tensors have no values: reading one on the host raises.
        unit = ShakeDrop(0.5, gate="sample").to("meta")
        branch = torch.ones(2, 3, 4, 4, device="meta", requires_grad=True)
        for training in (True, False):
            output = unit.train(training)(branch)
            output.sum().backward()
            assert output.device.type == "meta"


class TestInsideANetwork:
    def test_survives_an_addition_in_place(self, coefficients: Coefficients) -> None:
        weight = torch.randn(4, 3, requires_grad=True)
        shortcut = torch.randn(4, 3)
        unit = ShakeDrop(0.5, gate="sample")
        torch.manual_seed(5)
        output = unit(weight * 2)
        output += shortcut
        output.sum().backward()
        torch.manual_seed(5)
        forward, backward = coefficients(unit, 4, 3)
        torch.testing.assert_close(output, forward * weight * 2 + shortcut)
        torch.testing.assert_close(weight.grad, backward * 2)

    def test_closed_gates_give_zero_gradients_not_none(self) -> None:
        branch = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
        x = torch.randn(2, 3, 5, 5)
        (x + ShakeDrop(0.0, (0.0, 0.0), (0.0, 0.0))(branch(x))).sum().backward()
        for parameter in branch.parameters():
            assert torch.equal(parameter.grad, torch.zeros_like(parameter))

    @pytest.mark.parametrize("use_reentrant", [True, False])
    @pytest.mark.parametrize("level", LEVELS)
    def test_recomputed_activations_reuse_the_draws(
        self, use_reentrant: bool, level: Level
    ) -> None:
        layers = nn.Sequential(
            nn.Conv2d(3, 3, 1),
            ShakeDrop(0.5, level=level, gate="sample"),
            nn.Conv2d(3, 3, 1),
            nn.Tanh(),
            ShakeDrop(0.5, level=level),
        )
        x = torch.randn(6, 3, 4, 4)

        def run(checkpointed: bool) -> list[Tensor]:
            torch.manual_seed(7)
            layers.zero_grad()
            inputs = x.clone().requires_grad_()
            output = inputs
            for part in (layers[:2], layers[2:]):
                if checkpointed:
                    output = torch.utils.checkpoint.checkpoint(
                        part, output, use_reentrant=use_reentrant
                    )
                else:
                    output = part(output)
            output.square().sum().backward()
            return [output, *(value.grad for value in (inputs, *layers.parameters()))]

        for kept, recomputed in zip(run(False), run(True), strict=True):
            assert torch.equal(kept, recomputed)

    def test_strengths_may_change_between_two_forward_passes_and_their_backward(self) -> None:
        unit = ShakeDrop(0.5)
        branch = torch.ones(2, 3, requires_grad=True)
        first = unit(branch)
        unit.beta.mul_(0.5)
        (first + unit(branch)).sum().backward()
        assert branch.grad is not None

    @pytest.mark.parametrize(
        ("name", "value"), [("p", 1.0), ("alpha", (1.0, 1.0)), ("beta", (1.0, 1.0))]
    )
    def test_strengths_change_in_place(
        self, coefficients: Coefficients, name: str, value: float | tuple[float, float]
    ) -> None:
        unit = ShakeDrop(0.0, (0.0, 0.0), (0.0, 0.0))
        getattr(unit, name).copy_(torch.tensor(value))
        forward, backward = coefficients(unit, 2, 3)
        assert bool((forward == 1).all()) == (name in {"p", "alpha"})
        assert bool((backward == 1).all()) == (name in {"p", "beta"})
