"""RandomDrop, Shake-Shake and DropBlock under torch.compile (ShakeDrop has its own tests)."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch._inductor.config
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from service.regularization import DropBlock2d, DropBlock3d, RandomDrop, ShakeShake
from service.regularization.shake_shake import BackwardMode, ForwardMode, ShakeShakeLevel


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with torch._inductor.config.patch(compile_threads=1):
        yield


class Block(nn.Module):
    """Two branches of one convolution each, cut off from the addition by a unit."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        convolution = nn.Conv3d if isinstance(unit, DropBlock3d) else nn.Conv2d
        self.first, self.second = convolution(3, 3, 1), convolution(3, 3, 1)
        self.unit = unit

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.first(x), self.second(x)
        shaken = isinstance(self.unit, ShakeShake)
        output: Tensor = self.unit(first, second) if shaken else self.unit(first + second)
        output += x
        return output


def passes(block: Block, network: Callable[[Tensor], Tensor], x: Tensor, seed: int) -> list[Tensor]:
    """Returns output and gradients of one step."""
    torch.manual_seed(seed)
    block.zero_grad()
    output = network(x)
    torch.autograd.backward(output.square().sum())
    return [output.detach(), *(p.grad.clone() for p in block.parameters() if p.grad is not None)]


def assert_one_graph(unit: nn.Module, x: Tensor, strength: Tensor | None = None) -> None:
    """Compares eager and compiled steps bit for bit, while the strength moves from 0 to 1."""
    block = Block(unit)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(block, backend=counter, fullgraph=True)
    for step in range(5):
        if strength is not None:
            strength.fill_(step / 4)
        results = [passes(block, network, x, seed=step) for network in (block, compiled)]
        assert len(results[0]) == 5
        for eager, from_graph in zip(*results, strict=True):
            assert torch.equal(eager, from_graph)
    assert counter.frame_count == 1


def test_random_drop_is_one_graph_at_all_strengths() -> None:
    unit = RandomDrop(0.5)
    assert_one_graph(unit, torch.randn(4, 3, 6, 6), unit.p)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("sides", [(6, 6), (5, 8), (4, 5, 3)])
def test_drop_block_is_one_graph_at_all_strengths(sides: tuple[int, ...], size: int) -> None:
    kind = DropBlock2d if len(sides) == 2 else DropBlock3d
    unit = kind(0.5, size)
    assert_one_graph(unit, torch.randn(4, 3, *sides), unit.drop_prob)


@pytest.mark.parametrize(
    ("forward", "backward", "level"),
    [*itertools.product(("shake", "even"), ("shake", "even", "keep"), ("batch", "image"))],
)
def test_shake_shake_is_one_graph(
    forward: ForwardMode, backward: BackwardMode, level: ShakeShakeLevel
) -> None:
    assert_one_graph(ShakeShake(forward, backward, level), torch.randn(4, 3, 6, 6))


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize("backward", ["keep", "shake"])
def test_generated_code_keeps_alpha_or_draws_another_beta(backward: BackwardMode) -> None:
    # torch.compile's own code generator draws its own random numbers, in both passes.
    compiled = torch.compile(ShakeShake("shake", backward), fullgraph=True)
    first = torch.ones(64, 3, requires_grad=True)
    second = torch.zeros(64, 3, requires_grad=True)
    alpha = compiled(first, second)
    beta, rest = torch.autograd.grad(alpha, (first, second), torch.ones_like(alpha))
    torch.testing.assert_close(beta + rest, torch.ones_like(beta))
    assert len(set(beta[:, 0].tolist())) > 60
    torch.testing.assert_close(beta[:, :1].expand_as(beta), beta)
    assert torch.allclose(beta, alpha) == (backward == "keep")


@pytest.mark.usefixtures("_own_cache")
def test_generated_code_drops_whole_blocks_in_both_passes() -> None:
    unit = DropBlock2d(0.2, block_size=4)
    compiled = torch.compile(unit, fullgraph=True)
    x = torch.ones(8, 4, 7, 9, requires_grad=True)
    output = compiled(x)
    (gradient,) = torch.autograd.grad(output, x, torch.ones_like(output))
    torch.testing.assert_close(gradient, output)
    assert float(output.detach().sum()) == pytest.approx(x.numel(), rel=1e-5)
    dropped = output == 0
    assert bool(dropped.any())
    whole = dropped.unfold(2, 4, 1).all(-1).unfold(3, 4, 1).all(-1)
    union = torch.zeros_like(dropped)
    for row, column in itertools.product(range(4), range(4)):
        union[:, :, row : row + 4, column : column + 6] |= whole
    assert torch.equal(union, dropped)
    unit.drop_prob.fill_(0.0)
    assert torch.equal(compiled(x), x)
