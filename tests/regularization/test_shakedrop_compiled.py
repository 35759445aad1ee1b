"""ShakeDrop under torch.compile."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch._inductor.config
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from service.regularization import ShakeDrop
from service.regularization.keyed_draws import draw_keys
from service.regularization.scaling import scaled
from service.regularization.shakedrop import Gate, Level


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Block(nn.Module):
    def __init__(self, shakedrop: ShakeDrop, *, in_one_pass: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.shakedrop = shakedrop
        self.in_one_pass = in_one_pass

    def forward(self, x: Tensor) -> Tensor:
        branch = self.layer(x)
        if self.in_one_pass:
            added: Tensor = self.shakedrop(branch, x)
            return added
        output: Tensor = self.shakedrop(branch)
        output += x
        return output


@pytest.mark.parametrize(
    ("level", "gate", "in_one_pass"),
    [
        *itertools.product(("batch", "image", "channel", "pixel"), ("batch", "sample"), (True,)),
        ("image", "batch", False),
        ("pixel", "sample", False),
    ],
)
def test_one_graph_serves_all_strengths_and_computes_the_same(
    level: Level, gate: Gate, in_one_pass: bool
) -> None:
    block = Block(ShakeDrop(0.5, level=level, gate=gate), in_one_pass=in_one_pass)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(block, backend=counter, fullgraph=True)
    x = torch.randn(4, 4)
    for step in range(4):
        block.shakedrop.p.fill_(step / 3)
        block.shakedrop.alpha.copy_(torch.tensor([-0.5 * step, 1.0]))
        block.shakedrop.beta.copy_(torch.tensor([0.0, 0.5 * step]))
        results = []
        for network in (block, compiled):
            torch.manual_seed(step)
            block.zero_grad()
            output = network(x)
            output.square().sum().backward()
            assert block.layer.weight.grad is not None
            results.append((output.detach(), block.layer.weight.grad.clone()))
        for eager, from_graph in zip(*results, strict=True):
            assert torch.equal(eager, from_graph)
    assert counter.frame_count == 1


def test_generated_code_shares_the_gate_between_the_passes(
    coefficients: Callable[..., tuple[Tensor, Tensor]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # torch.compile's own code generator draws its own random numbers, in both passes.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    unit = ShakeDrop(0.5, (2.0, 3.0), (4.0, 5.0), level="pixel", gate="sample")
    compiled = torch.compile(unit, fullgraph=True)
    closed = 0.0
    with torch._inductor.config.patch(compile_threads=1):
        for _ in range(50):
            forward, backward = coefficients(compiled, 8, 2, 3)
            assert torch.equal(forward == 1, backward == 1)
            shut = forward != 1
            assert bool(((forward[shut] >= 2) & (forward[shut] <= 3)).all())
            assert bool(((backward[shut] >= 4) & (backward[shut] <= 5)).all())
            closed += float(shut.float().mean()) / 50
    assert abs(closed - 0.5) < 5 * 0.5 / (50 * 8) ** 0.5  # 5 standard errors of 400 gates


@pytest.mark.parametrize("level", ["channel", "pixel"])
def test_generated_code_draws_what_pieces_draw(
    level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compiled = torch.compile(scaled, fullgraph=True)
    (key,) = draw_keys(1, torch.device("cpu"))
    # An odd size, so that vectors of the processor end in the middle of a row.
    values = torch.randn(3, 5, 7, 9)
    with torch._inductor.config.patch(compile_threads=1):
        for given in (values, values.to(memory_format=torch.channels_last)):
            torch._dynamo.reset()
            interval = torch.tensor([-1.0, 1.0])
            torch.testing.assert_close(
                compiled(given, interval, key, level), scaled(given, interval, key, level)
            )
