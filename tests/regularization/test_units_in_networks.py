"""How RandomDrop, Shake-Shake and DropBlock behave inside a network (ShakeDrop has its own)."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from service.regularization import DropBlock2d, RandomDrop, ShakeShake
from service.regularization.shake_shake import BackwardMode, ForwardMode, ShakeShakeLevel


class TwoBranches(nn.Module):
    """Shake-Shake as a unit of a single input."""

    def __init__(
        self, forward: ForwardMode, backward: BackwardMode, level: ShakeShakeLevel
    ) -> None:
        super().__init__()
        self.unit = ShakeShake(forward, backward, level)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.unit(x * 2, x.flip(0))
        return mixed


MODES = [*itertools.product(*map(get_args, (ForwardMode, BackwardMode, ShakeShakeLevel)))]
UNITS: dict[str, Callable[[], nn.Module]] = {
    "random_drop": partial(RandomDrop, 0.5),
    "drop_block": partial(DropBlock2d, 0.3, block_size=3),
    "drop_block_shared": partial(DropBlock2d, 0.3, block_size=2, share_channels=True),
    **{f"shake_shake_{'_'.join(modes)}": partial(TwoBranches, *modes) for modes in MODES},
}
every_unit = pytest.mark.parametrize("unit", [pytest.param(UNITS[name], id=name) for name in UNITS])


def kept_values(module: nn.Module, *inputs: Tensor) -> list[Tensor]:
    """Runs a forward pass and returns what it keeps for the backward pass."""
    kept: list[Tensor] = []

    def pack(value: Tensor) -> Tensor:
        kept.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        module(*inputs)
    return kept


class TestTypesAndMemory:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    @pytest.mark.parametrize("training", [True, False])
    @every_unit
    def test_output_and_gradient_keep_the_type(
        self, unit: Callable[[], nn.Module], training: bool, dtype: torch.dtype
    ) -> None:
        for autocast in (True, False):
            x = torch.randn(2, 3, 6, 6, dtype=dtype, requires_grad=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                output = unit().train(training)(x)
            output.sum().backward()
            assert x.grad is not None
            assert (output.dtype, x.grad.dtype) == (dtype, dtype)

    @every_unit
    def test_a_network_cast_to_half_precision_still_works(
        self, unit: Callable[[], nn.Module]
    ) -> None:
        output = unit().to(torch.bfloat16)(torch.ones(4, 3, 6, 6, dtype=torch.bfloat16))
        assert output.dtype == torch.bfloat16
        assert bool(output.isfinite().all())

    @every_unit
    def test_both_passes_keep_the_memory_order(self, unit: Callable[[], nn.Module]) -> None:
        x = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last).requires_grad_()
        output = unit()(x)
        assert output.is_contiguous(memory_format=torch.channels_last)
        (gradient,) = torch.autograd.grad(output, x, torch.randn_like(output))
        assert gradient.is_contiguous(memory_format=torch.channels_last)

    @pytest.mark.parametrize(("backward", "numbers"), [("shake", 0), ("even", 0), ("keep", 4)])
    def test_shake_shake_keeps_at_most_a_number_for_each_image(
        self, backward: BackwardMode, numbers: int
    ) -> None:
        unit = ShakeShake("shake", backward, "image")
        branches = torch.ones(2, 4, 64, 8, 8, requires_grad=True).unbind()
        kept = kept_values(unit, *branches)
        assert sum(value.numel() for value in kept) == numbers

    def test_random_drop_keeps_its_gate(self) -> None:
        kept = kept_values(RandomDrop(0.5), torch.ones(4, 64, 8, 8, requires_grad=True))
        assert sum(value.numel() for value in kept) == 1

    def test_drop_block_keeps_one_byte_a_value(self) -> None:
        x = torch.ones(4, 64, 8, 8, requires_grad=True)
        for share_channels, size in ((False, x.numel()), (True, x.numel() // 64)):
            kept = kept_values(DropBlock2d(0.3, 3, share_channels), x)
            assert sum(value.nbytes for value in kept if value.ndim) == size

    @every_unit
    def test_state_dict_is_empty(self, unit: Callable[[], nn.Module]) -> None:
        assert unit().state_dict() == {}
        unit().load_state_dict({}, strict=True)

    @every_unit
    def test_nothing_is_read_from_the_device(self, unit: Callable[[], nn.Module]) -> None:
        # Meta tensors have no values: reading one on the host raises.
        module = unit().to("meta")
        x = torch.ones(2, 3, 6, 6, device="meta", requires_grad=True)
        for training in (True, False):
            output = module.train(training)(x)
            output.sum().backward()
            assert output.device.type == "meta"


class TestInsideANetwork:
    @every_unit
    def test_survives_an_addition_in_place(self, unit: Callable[[], nn.Module]) -> None:
        module = unit()
        weight = torch.randn(4, 3, 6, 6, requires_grad=True)
        shortcut = torch.randn(4, 3, 6, 6)
        results = []
        for in_place in (True, False):
            torch.manual_seed(5)
            output = module(weight * 2)
            if in_place:
                output += shortcut
            else:
                output = output + shortcut
            (gradient,) = torch.autograd.grad(output.square().sum(), weight)
            results.append((output.detach(), gradient))
        for mutated, plain in zip(*results, strict=True):
            assert torch.equal(mutated, plain)

    @pytest.mark.parametrize(
        "unit", [RandomDrop(0.0), DropBlock2d(1.0, 9)], ids=["random_drop", "drop_block"]
    )
    def test_closed_units_give_zero_gradients_not_none(self, unit: nn.Module) -> None:
        branch = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
        x = torch.randn(2, 3, 5, 5)
        (x + unit(branch(x))).sum().backward()
        for parameter in branch.parameters():
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, torch.zeros_like(parameter))

    @pytest.mark.parametrize("use_reentrant", [True, False])
    @every_unit
    def test_recomputed_activations_reuse_the_draws(
        self, unit: Callable[[], nn.Module], use_reentrant: bool
    ) -> None:
        layers = nn.Sequential(nn.Conv2d(3, 3, 1), unit(), nn.Conv2d(3, 3, 1), nn.Tanh(), unit())
        x = torch.randn(6, 3, 6, 6)

        def run(checkpointed: bool) -> list[Tensor]:
            torch.manual_seed(7)
            layers.zero_grad()
            inputs = x.clone().requires_grad_()
            output = inputs
            for part in (layers[:2], layers[2:]):
                if checkpointed:
                    output = checkpoint(part, output, use_reentrant=use_reentrant)
                else:
                    output = part(output)
            torch.autograd.backward(output.square().sum())
            leaves = (inputs, *layers.parameters())
            return [output, *(leaf.grad for leaf in leaves if leaf.grad is not None)]

        results = run(False), run(True)
        assert len(results[0]) == 6
        for kept, recomputed in zip(*results, strict=True):
            assert torch.equal(kept, recomputed)
