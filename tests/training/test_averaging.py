"""The moving average against its closed form."""

import pytest
import torch
from torch import Tensor, nn

from service.config.optimization import AveragingConfig
from service.training.averaging import MovingAverage

TAKEN, SKIPPED = torch.tensor(0.0), torch.tensor(1.0)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def disturb(model: nn.Module, seed: int) -> None:
    """Gives all weights and statistics new values, as a training step would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator))
            else:
                value.add_(1)


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first | second)


@pytest.mark.parametrize("warm_up", [False, True])
def test_weights_and_statistics_follow_the_closed_form(warm_up: bool) -> None:
    model = network()
    average = MovingAverage(model, AveragingConfig(decay=0.4, warm_up=warm_up))
    expected = {name: value.double() for name, value in copied(model).items()}
    for n in range(12):
        disturb(model, n)
        average.update(n, TAKEN)
        decay = min(0.4, (1 + n) / (10 + n)) if warm_up else 0.4
        for name, value in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
    for name, value in average.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert int(average.updates) == 12


def test_a_decay_near_one_keeps_its_digits() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = MovingAverage(model, AveragingConfig(decay=0.9999, warm_up=False))
    nn.init.ones_(model.weight)
    for t in range(100):
        average.update(t, TAKEN)
    # 1 − 0.9999 in single precision would already be off by 1.7e-4.
    assert float(average.module.state_dict()["weight"]) == pytest.approx(1 - 0.9999**100, rel=2e-6)


def test_counters_are_copied() -> None:
    model = network()
    average = MovingAverage(model, AveragingConfig(decay=0.9, warm_up=False))
    for n in range(3):
        disturb(model, n)
        average.update(n, TAKEN)
    assert int(average.module.state_dict()["1.num_batches_tracked"]) == 3


def test_a_skipped_step_does_not_move_the_average() -> None:
    model = network()
    average = MovingAverage(model, AveragingConfig(decay=0.9))
    disturb(model, 0)
    average.update(0, TAKEN)
    before = copied(average.module)
    disturb(model, 1)
    average.update(1, SKIPPED)
    assert same(copied(average.module), before)
    assert int(average.updates) == 1
    average.update(2, TAKEN)
    assert not same(copied(average.module), before)


def test_updates_come_every_so_many_steps_of_the_run() -> None:
    model = network()
    average = MovingAverage(model, AveragingConfig(decay=0.9, every=3))
    moved = []
    for step in range(7):
        before = copied(average.module)
        disturb(model, step)
        average.update(step, TAKEN)
        moved.append(not same(copied(average.module), before))
    assert moved == [False, False, True, False, False, True, False]


def test_the_average_is_another_network_that_learns_nothing() -> None:
    model = network()
    average = MovingAverage(model, AveragingConfig())
    assert not average.module.training
    assert model.training
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
    before = copied(model)
    disturb(average.module, 1)
    assert same(copied(model), before)


def test_a_restored_average_goes_on_with_the_same_bits() -> None:
    model, config = network(), AveragingConfig(decay=0.99)
    average = MovingAverage(model, config)
    for n in range(4):
        disturb(model, n)
        average.update(n, TAKEN)
    weights, state = copied(average.module), {"updates": average.state_dict()["updates"].clone()}
    resumed = MovingAverage(model, config)
    resumed.module.load_state_dict(weights)
    resumed.load_state_dict(state)
    disturb(model, 9)
    average.update(4, TAKEN)
    resumed.update(4, TAKEN)
    assert same(copied(average.module), copied(resumed.module))
    assert not same(copied(resumed.module), weights)


def test_what_no_state_dict_holds_is_not_averaged() -> None:
    model = network()
    model.register_buffer("strength", torch.tensor(1.0), persistent=False)
    average = MovingAverage(model, AveragingConfig(decay=0.9))
    model.strength.fill_(0.25)
    average.update(0, TAKEN)
    assert float(average.module.strength) == 1
    average.follow()
    assert float(average.module.strength) == 0.25
    # It holds from the evaluation on and exactly, whatever the interval of the updates.
    model.strength.fill_(0.5)
    assert float(average.module.strength) == 0.25
    average.follow()
    assert float(average.module.strength) == 0.5
