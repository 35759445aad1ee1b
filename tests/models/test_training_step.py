"""Training steps of the families: gradients, seeds, precision, memory order, compilation."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils.checkpoint import checkpoint

from service.config.model import ModelConfig, ResNetConfig
from service.config.regularizer import (
    AlphaRange,
    PlainSumConfig,
    RegularizerConfig,
    ShakeDropConfig,
)
from service.models import ResidualNetwork, build_network
from service.regularization import ShakeDrop

Small = Callable[..., ResNetConfig]
Tiny = Callable[..., ModelConfig]
every_order = pytest.mark.parametrize("order", ["post_activation", "erase_relu", "pre_activation"])


def units(network: ResidualNetwork) -> list[ShakeDrop]:
    return [module for module in network.modules() if isinstance(module, ShakeDrop)]


def gradients(network: ResidualNetwork, seed: int) -> list[Tensor]:
    """The gradients of one step on random pictures."""
    torch.manual_seed(seed)
    network.zero_grad()
    pictures, labels = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 3])
    F.cross_entropy(network(pictures), labels).backward()
    found = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None for gradient in found)
    return [gradient.clone() for gradient in found if gradient is not None]


@every_order
@pytest.mark.parametrize("regularizer", [PlainSumConfig(), ShakeDropConfig()])
@pytest.mark.parametrize("depth", [18, 50])
def test_a_step_moves_every_weight(
    small: Small, order: str, regularizer: RegularizerConfig, depth: int
) -> None:
    network = build_network(small(depth=depth, order=order, regularizer=regularizer), 4)
    before = [parameter.clone() for parameter in network.parameters()]
    gradients(network, seed=1)
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    for old, new in zip(before, network.parameters(), strict=True):
        assert bool(new.isfinite().all())
        assert not torch.equal(old, new)


@every_order
def test_closed_gates_give_every_branch_zeros_not_none(small: Small, order: str) -> None:
    closed = ShakeDropConfig(p_l=0.0, alpha=AlphaRange(low=0.0, high=0.0))
    network = build_network(small(order=order, regularizer=closed), classes=4)
    for unit in units(network):
        unit.p.zero_()
        unit.beta.zero_()
    gradients(network, seed=1)
    last = network.blocks[-1].conv2.weight.grad
    assert torch.equal(last, torch.zeros_like(last))


def test_a_seed_decides_the_gradients(family: str, tiny: Tiny) -> None:
    network = build_network(tiny(family), classes=4)
    first, again, other = (gradients(network, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_nothing_is_read_from_the_device_in_a_step(family: str, tiny: Tiny) -> None:
    # Meta tensors have no values: reading one on the host raises.
    with torch.device("meta"):
        network = build_network(tiny(family), classes=4)
        torch.autograd.backward(network(torch.randn(2, 3, 16, 16)).sum())
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_bf16_autocast_keeps_the_branches_in_bf16(family: str, tiny: Tiny) -> None:
    network = build_network(tiny(family), classes=4)
    seen: set[torch.dtype] = set()
    for block in network.blocks[1:]:
        block.register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(torch.randn(2, 3, 32, 32))
    assert seen == {torch.bfloat16}


def test_channels_last_computes_the_same(family: str, tiny: Tiny) -> None:
    network = build_network(tiny(family), classes=4).eval()
    pictures = torch.randn(2, 3, 16, 16)
    expected = network(pictures)
    network.to(memory_format=torch.channels_last)
    kept: set[bool] = set()
    for block in network.stages[0]:
        block.register_forward_hook(
            lambda _module, _inputs, output: kept.add(
                output.is_contiguous(memory_format=torch.channels_last)
            )
        )
    result = network(pictures.to(memory_format=torch.channels_last))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
    assert kept == {True}


def test_a_branch_that_is_recomputed_takes_the_same_draws(
    family: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network(tiny(family), classes=4)
    expected = gradients(network, seed=1)
    for block in network.blocks:
        recomputed = partial(checkpoint, block.forward, use_reentrant=False)
        monkeypatch.setattr(block, "forward", recomputed)
    # The second forward pass moves running statistics again; gradients must not differ.
    found = gradients(network, seed=1)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@every_order
def test_compiles_to_one_graph_for_all_strengths(small: Small, order: str) -> None:
    torch._dynamo.reset()
    network = build_network(small(order=order), classes=4)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(network, backend=counter, fullgraph=True)
    pictures = torch.randn(2, 3, 16, 16)
    for step in range(2):
        for unit in units(network):
            unit.p.fill_(0.3 * step)
        torch.manual_seed(step)
        expected = network(pictures)
        torch.manual_seed(step)
        torch.testing.assert_close(compiled(pictures), expected)
    assert counter.frame_count == 1


@pytest.mark.parametrize(
    ("family", "kind"),
    [("cifar_pyramidnet", "shakedrop"), ("shake_resnet", "shake_shake")],
)
def test_other_families_compile_to_one_graph(tiny: Tiny, family: str, kind: str) -> None:
    torch._dynamo.reset()
    network = build_network(tiny(family, regularizer={"kind": kind}), classes=4)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(network, backend=counter, fullgraph=True)
    pictures = torch.randn(2, 3, 16, 16)
    torch.manual_seed(1)
    expected = network(pictures)
    torch.manual_seed(1)
    torch.testing.assert_close(compiled(pictures), expected)
    assert counter.frame_count == 1
