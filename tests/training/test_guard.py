"""Steps that the device skips: nothing may stay behind, and nothing may be lost."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from service.config.optimization import (
    AdamWConfig,
    AveragingConfig,
    LAMBConfig,
    OptimizerChoice,
    SGDConfig,
)
from service.training.averaging import MovingAverage
from service.training.guard import GuardedStep, clip_gradients, non_finite
from service.training.optimizers import build_optimizer
from service.training.selection import copy_where

CONFIGS = [
    pytest.param(SGDConfig(lr=0.1, weight_decay=0.01), id="sgd"),
    pytest.param(SGDConfig(lr=0.1, momentum=0), id="sgd-without-momentum"),
    pytest.param(AdamWConfig(lr=0.01, norm_weight_decay=0.1), id="adamw"),
    pytest.param(LAMBConfig(lr=0.01), id="lamb"),
]
GOOD = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(5))
BAD = GOOD.clone().index_fill_(0, torch.tensor([3]), math.inf)


class Run:
    """A small network with batch normalisation and its guarded optimiser."""

    def __init__(self, config: OptimizerChoice, memory_format: torch.memory_format) -> None:
        torch.manual_seed(2)
        self.model = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten()
        ).to(memory_format=memory_format)
        self.optimizer = build_optimizer(self.model, config, 8)
        self.guard = GuardedStep(self.optimizer, self.model)

    def step(self, batch: Tensor) -> Tensor:
        self.guard.remember()
        self.model(batch).square().mean().backward()
        found_inf = non_finite(clip_gradients(list(self.model.parameters()), None))
        self.guard.step(found_inf)
        self.optimizer.zero_grad()
        return found_inf


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def weights_and_buffers(model: nn.Module) -> dict[str, bytes]:
    return {name: bits(value) for name, value in model.state_dict().items()}


def optimizer_state(optimizer: Optimizer) -> list[bytes]:
    state = optimizer.state_dict()
    tensors = [value for values in state["state"].values() for value in values.values()]
    tensors += [v for group in state["param_groups"] for v in group.values()]
    return [bits(tensor) for tensor in tensors if isinstance(tensor, Tensor)]


FORMATS = pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])


@FORMATS
@pytest.mark.parametrize("config", CONFIGS)
def test_a_skipped_first_step_leaves_no_trace(
    config: OptimizerChoice, memory_format: torch.memory_format
) -> None:
    disturbed, undisturbed = Run(config, memory_format), Run(config, memory_format)
    before = weights_and_buffers(disturbed.model)
    assert disturbed.step(BAD) == 1
    assert weights_and_buffers(disturbed.model) == before
    # Whatever state the skipped step made is a start from zero.
    assert not any(any(state) for state in optimizer_state(disturbed.optimizer))
    for run in (disturbed, undisturbed):
        assert run.step(GOOD) == 0
    assert weights_and_buffers(disturbed.model) != before
    assert weights_and_buffers(disturbed.model) == weights_and_buffers(undisturbed.model)
    assert optimizer_state(disturbed.optimizer) == optimizer_state(undisturbed.optimizer)


@pytest.mark.parametrize("config", CONFIGS)
def test_skipped_steps_in_the_middle_change_nothing(config: OptimizerChoice) -> None:
    disturbed, undisturbed = (Run(config, torch.contiguous_format) for _ in range(2))
    for batch in (GOOD, BAD, 2 * GOOD, BAD, BAD, GOOD + 1):
        disturbed.step(batch)
    for batch in (GOOD, 2 * GOOD, GOOD + 1):
        undisturbed.step(batch)
    assert weights_and_buffers(disturbed.model) == weights_and_buffers(undisturbed.model)
    assert optimizer_state(disturbed.optimizer) == optimizer_state(undisturbed.optimizer)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_guarded_step_equals_the_optimizers_own(config: OptimizerChoice) -> None:
    guarded, plain = (Run(config, torch.contiguous_format) for _ in range(2))
    for batch in (GOOD, GOOD + 1):
        guarded.step(batch)
        plain.model(batch).square().mean().backward()
        plain.optimizer.step()
        plain.optimizer.zero_grad()
    assert weights_and_buffers(guarded.model) == weights_and_buffers(plain.model)


def test_skipped_steps_are_counted_and_the_counts_restored() -> None:
    run = Run(SGDConfig(lr=0.001), torch.contiguous_format)
    counts = []
    for batch in (BAD, BAD, GOOD, BAD, GOOD, BAD, BAD, BAD):
        run.step(batch)
        counts.append((int(run.guard.skipped), int(run.guard.skipped_in_row)))
    assert counts == [(1, 1), (2, 2), (2, 0), (3, 1), (3, 0), (4, 1), (5, 2), (6, 3)]
    resumed = Run(SGDConfig(lr=0.001), torch.contiguous_format)
    resumed.guard.load_state_dict(run.guard.state_dict())
    resumed.step(BAD)
    assert (int(resumed.guard.skipped), int(resumed.guard.skipped_in_row)) == (7, 4)
    assert (int(run.guard.skipped), int(run.guard.skipped_in_row)) == (6, 3)


class HostReadError(AssertionError):
    """A step asked the device for a value."""


class NoHostRead(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Raises where the host would wait for a value of a tensor."""

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise HostReadError(str(func))
        return func(*args, **(kwargs or {}))


def no_host_read() -> NoHostRead:
    return NoHostRead()  # type: ignore[no-untyped-call]  # torch leaves it untyped


def test_the_detector_of_host_reads_works() -> None:
    one = torch.ones(())
    for read in (float, bool, int, Tensor.item):
        with no_host_read(), pytest.raises(HostReadError):
            read(one)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("config", CONFIGS)
def test_no_value_is_read_in_a_step(
    config: OptimizerChoice, precision: str, clip_norm: float | None
) -> None:
    run = Run(config, torch.contiguous_format)
    average = MovingAverage(run.model, AveragingConfig(enabled=True))
    scaler = torch.amp.GradScaler("cpu", enabled=precision == "fp16")
    loss = run.model(GOOD).square().mean()
    with no_host_read():
        run.guard.remember()
        scaler.scale(loss).backward()
        scaler.unscale_(run.optimizer)
        norm = clip_gradients(list(run.model.parameters()), clip_norm)
        found_inf = non_finite(norm, loss)
        run.guard.step(found_inf)
        scaler.update()
        average.update(0, found_inf)


def test_the_loss_scale_halves_until_half_precision_holds_the_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1, bias=False)
    optimizer = build_optimizer(model, SGDConfig(lr=1.0, momentum=0, weight_decay=0), 1)
    guard = GuardedStep(optimizer, model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    inputs = torch.full((1, 4), 8.0)
    before = model.weight.detach().clone()
    scales: list[float] = []
    while not scales or int(guard.skipped_in_row):
        guard.remember()
        with torch.autocast("cpu", torch.float16):
            loss = model(inputs).sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        found_inf = non_finite(clip_gradients([model.weight], None))
        guard.step(found_inf)
        scaler.update()
        optimizer.zero_grad()
        scales.append(scaler.get_scale())
        if found_inf:
            assert torch.equal(model.weight, before)
    # The gradient is 8 for each weight; the largest power of two times 8 below 65,504 is 2¹⁵.
    assert scales == [2.0**15, 2.0**14, 2.0**13, 2.0**12, 2.0**12]
    assert int(guard.skipped) == 4
    torch.testing.assert_close(model.weight.detach(), before - 8)


def test_clipping_scales_all_gradients_together_and_reports_the_norm_before() -> None:
    parameters = [
        nn.Parameter(torch.zeros(2)),
        nn.Parameter(torch.zeros(1)),
        nn.Parameter(torch.ones(1)),
    ]
    parameters[0].grad = torch.tensor([3.0, 0.0])
    parameters[1].grad = torch.tensor([4.0])
    assert clip_gradients(parameters, None) == 5
    assert clip_gradients(parameters, 10.0) == 5
    assert parameters[0].grad.tolist() == [3, 0]
    assert clip_gradients(parameters, 1.0) == 5
    torch.testing.assert_close(parameters[0].grad, torch.tensor([0.6, 0.0]), rtol=1e-5, atol=0)
    torch.testing.assert_close(parameters[1].grad, torch.tensor([0.8]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_one_value_that_is_not_finite_decides(value: float) -> None:
    assert non_finite(torch.tensor(value)) == 1
    assert non_finite(torch.tensor(1.0), torch.tensor(value, dtype=torch.bfloat16)) == 1
    finite = non_finite(torch.tensor(1e30), torch.tensor(-2.0, requires_grad=True))
    assert finite == 0
    assert (finite.shape, finite.dtype, finite.requires_grad) == ((), torch.float32, False)


TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32,
         torch.uint8, torch.bool]  # fmt: skip


@settings(deadline=None)
@given(
    first=st.binary(min_size=16, max_size=16),
    second=st.binary(min_size=16, max_size=16),
    flag=st.sampled_from([0, 1]),
)
def test_selection_copies_bits_or_leaves_them(first: bytes, second: bytes, flag: int) -> None:
    def tensors(data: bytes) -> list[Tensor]:
        raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        return [(raw % 2).bool() if t is torch.bool else raw.clone().view(t) for t in TYPES]

    targets, sources = tensors(first), tensors(second)
    copy_where(torch.tensor(float(flag)), targets, sources)
    expected = tensors(second if flag else first)
    assert [bits(t) for t in targets] == [bits(t) for t in expected]
    assert [bits(t) for t in sources] == [bits(t) for t in tensors(second)]
