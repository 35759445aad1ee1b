"""The learning rate at each step, against closed forms."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from service.config.durations import Duration, parse_duration
from service.config.errors import ConfigurationError
from service.config.optimization import (
    ConstantConfig,
    CosineConfig,
    LinearConfig,
    MultiStepConfig,
    ScheduleChoice,
    SGDConfig,
    StepConfig,
    WarmUpConfig,
)
from service.training.optimizers import build_optimizer
from service.training.schedules import learning_rate_factor, set_learning_rate


def warm_up(steps: int, start_factor: float = 0.1) -> WarmUpConfig:
    return WarmUpConfig(duration=Duration(steps, "st"), start_factor=start_factor)


def test_warm_up_is_a_line_that_meets_the_peak() -> None:
    factor = learning_rate_factor(ConstantConfig(warm_up=warm_up(10, 0.2)), 100, 10)
    assert factor(0) == 0.2
    assert factor(5) == pytest.approx(0.6, abs=1e-15)
    assert factor(9) == pytest.approx(0.92, abs=1e-15)
    assert [factor(t) for t in (10, 50, 99)] == [1, 1, 1]


def test_cosine_from_the_peak_to_the_end() -> None:
    factor = learning_rate_factor(CosineConfig(end_factor=0.1, warm_up=warm_up(20)), 120, 10)
    assert factor(0) == 0.1
    assert factor(20) == 1
    assert factor(45) == pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2, abs=1e-12)
    assert factor(70) == pytest.approx(0.55, abs=1e-12)
    assert factor(119) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 0.99)) / 2, abs=1e-12)
    assert factor(119) > factor(120) == 0.1


def test_line_from_the_peak_to_the_end() -> None:
    factor = learning_rate_factor(LinearConfig(end_factor=0.5, warm_up=warm_up(0)), 10, 10)
    assert [factor(t) for t in range(12)] == pytest.approx(
        [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.5], abs=1e-12
    )


def test_stairs_count_from_the_start_of_the_run_and_warm_up_multiplies() -> None:
    config = StepConfig(every=Duration(4, "st"), factor=0.5, warm_up=warm_up(6, 0.0))
    factor = learning_rate_factor(config, 16, 10)
    expected = [0, 1 / 6, 2 / 6, 3 / 6, 2 / 6, 5 / 12, 0.5, 0.5]
    assert [factor(t) for t in range(8)] == pytest.approx(expected, abs=1e-12)
    assert [factor(t) for t in (8, 11, 12, 15)] == [0.25, 0.25, 0.125, 0.125]


def test_stairs_at_moments_in_any_unit_and_order() -> None:
    at = tuple(parse_duration(text) for text in ("0.75run", "2ep", "3st"))
    factor = learning_rate_factor(MultiStepConfig(at=at, factor=0.1), 100, 12.5)
    assert [factor(t) for t in (0, 2, 3, 24, 25, 74, 75, 99)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rel=1e-12
    )


@settings(deadline=None)
@given(
    steps_per_epoch=st.floats(0.2, 300),
    interval=st.integers(1, 40),
    epochs=st.integers(1, 400),
)
def test_even_stairs_fall_where_the_same_moments_written_out_do(
    steps_per_epoch: float, interval: int, epochs: int
) -> None:
    """Rounded intervals would drift by a step each where an epoch has no whole number of steps."""
    total = Duration(epochs, "ep").in_steps(steps_per_epoch)
    even = StepConfig(every=Duration(interval, "ep"), factor=0.5)
    moments = tuple(Duration(k, "ep") for k in range(interval, epochs + 1, interval))
    written = MultiStepConfig(at=moments, factor=0.5)
    stairs = [learning_rate_factor(c, total, steps_per_epoch) for c in (even, written)]
    around = {m.in_steps(steps_per_epoch) + shift for m in moments for shift in (-1, 0)}
    for t in sorted(t for t in around if 0 <= t < total):
        assert stairs[0](t) == stairs[1](t)


def test_rounding_does_not_delay_a_stair() -> None:
    # 0.07 · 100 is 7.000000000000001 in binary.
    factor = learning_rate_factor(StepConfig(every=Duration(0.07, "run"), factor=0.5), 100, 10)
    assert [factor(t) for t in (6, 7, 13, 14)] == [1, 0.5, 0.5, 0.25]


LENGTHS = st.integers(1, 2000)
FACTORS = st.floats(0, 1)
SCHEDULES = st.one_of(
    st.builds(CosineConfig, end_factor=FACTORS, warm_up=st.builds(warm_up, LENGTHS, FACTORS)),
    st.builds(LinearConfig, end_factor=FACTORS, warm_up=st.builds(warm_up, LENGTHS, FACTORS)),
    st.builds(ConstantConfig, warm_up=st.builds(warm_up, LENGTHS, FACTORS)),
    st.builds(
        StepConfig,
        every=st.builds(lambda n: Duration(n, "st"), LENGTHS),
        factor=st.floats(0.01, 1),
        warm_up=st.builds(warm_up, LENGTHS, FACTORS),
    ),
)


@settings(deadline=None)
@given(config=SCHEDULES, total=LENGTHS)
def test_factors_stay_in_range_and_fall_after_the_warm_up(
    config: ScheduleChoice, total: int
) -> None:
    factor = learning_rate_factor(config, total, 7.5)
    top = config.warm_up.duration.in_steps(7.5)
    values = [factor(t) for t in range(total)]
    assert all(0 <= value <= 1 for value in values)
    falling = values[top:]
    assert all(a >= b for a, b in pairwise(falling))
    if not isinstance(config, StepConfig):
        climbing = values[: top + 1]
        assert all(a <= b for a, b in pairwise(climbing))


def test_a_run_shorter_than_its_warm_up_just_climbs() -> None:
    factor = learning_rate_factor(CosineConfig(warm_up=warm_up(100, 0.0)), 20, 10)
    assert [factor(t) for t in (0, 10, 19)] == pytest.approx([0, 0.1, 0.19], abs=1e-12)


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"schedule\.every must be above 0"):
        learning_rate_factor(StepConfig(every=Duration(0, "ep")), 10, 10)


def test_each_group_gets_its_share_of_its_own_peak() -> None:
    optimizer = build_optimizer(nn.Linear(2, 2), SGDConfig(lr=0.4), 8)
    optimizer.param_groups[1]["initial_lr"] = 2.0
    set_learning_rate(optimizer, 0.5)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
