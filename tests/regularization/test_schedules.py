"""The strength of a regulariser over the training."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from service.config.durations import Duration
from service.config.regularizer import DropBlockConfig, RandomDropConfig, ShakeDropConfig
from service.regularization import (
    DropBlock2d,
    ScheduledStrength,
    constant,
    linear_ramp,
    strength_at,
)

Ramped = ShakeDropConfig | RandomDropConfig | DropBlockConfig


def values(schedule: Callable[[int], float], steps: int) -> list[float]:
    return [schedule(step) for step in range(steps)]


class TestFunctions:
    def test_a_ramp_contains_both_ends_and_stays_at_the_last(self) -> None:
        expected = [0, 0.0625, 0.125, 0.1875, 0.25, 0.25, 0.25]
        assert values(linear_ramp(0, 0.25, 5), 7) == expected

    def test_a_ramp_may_fall(self) -> None:
        assert values(linear_ramp(1.0, 0.5, 3), 4) == [1.0, 0.75, 0.5, 0.5]

    @pytest.mark.parametrize(("start", "end"), [(1.0, 0.1), (0.0, 0.3), (0.7, 0.7)])
    @pytest.mark.parametrize("steps", [3, 10, 49, 1000])
    def test_ends_are_exact(self, start: float, end: float, steps: int) -> None:
        ramp = linear_ramp(start, end, steps)
        assert (ramp(0), ramp(steps - 1), ramp(10**9)) == (start, end, end)

    @pytest.mark.parametrize("steps", [0, 1])
    def test_a_ramp_without_room_for_two_ends_is_at_its_end(self, steps: int) -> None:
        assert values(linear_ramp(0.0, 0.25, steps), 3) == [0.25] * 3

    def test_constant(self) -> None:
        assert values(constant(0.3), 3) == [0.3] * 3

    def test_a_negative_length_is_an_error(self) -> None:
        with pytest.raises(ValueError, match=r"at least 0 \(got -1\)"):
            linear_ramp(0, 1, -1)


class TestConfiguration:
    @pytest.mark.parametrize("config", [ShakeDropConfig(), RandomDropConfig(), DropBlockConfig()])
    def test_no_ramp_by_default(self, config: Ramped) -> None:
        assert strength_at(config.ramp, 0.5, step=0, total_steps=10, steps_per_epoch=2.5) == 0.5

    @pytest.mark.parametrize(
        ("config", "start"),
        [
            (ShakeDropConfig.model_validate({"ramp": {"over": "5st"}}), 1.0),
            (RandomDropConfig.model_validate({"ramp": {"over": "5st"}}), 1.0),
            (DropBlockConfig.model_validate({"ramp": {"over": "5st"}}), 0.0),
            (DropBlockConfig.model_validate({"ramp": {"over": "5st", "start": 0.5}}), 0.5),
        ],
    )
    def test_a_ramp_starts_without_effect_unless_told(self, config: Ramped, start: float) -> None:
        strengths = [strength_at(config.ramp, 0.25, step, 100, 10) for step in range(6)]
        line = [start + (0.25 - start) * step / 4 for step in range(5)]
        assert strengths == [*line, 0.25]

    @pytest.mark.parametrize(
        ("over", "steps"),
        [("8st", 8), ("0.5run", 20), ("1run", 40), ("3ep", 8), ("0.1ep", 1), ("90ep", 225)],
    )
    def test_a_ramp_is_as_long_as_its_duration(self, over: str, steps: int) -> None:
        ramp = DropBlockConfig.model_validate({"ramp": {"over": over}}).ramp
        assert ramp.over.in_steps(2.5, 40) == steps
        for step in range(50):
            expected = linear_ramp(0.0, 0.1, steps)(step)
            assert strength_at(ramp, 0.1, step, total_steps=40, steps_per_epoch=2.5) == expected

    def test_the_duration_is_written_with_its_unit(self) -> None:
        config = DropBlockConfig.model_validate({"ramp": {"over": "0.5run"}})
        assert config.ramp.over == Duration(0.5, "run")
        assert config.model_dump(mode="json")["ramp"] == {"over": "0.5run", "start": 0.0}


class TestScheduledStrength:
    def scheduled(self) -> tuple[DropBlock2d, ScheduledStrength]:
        unit = DropBlock2d(0.9, block_size=3)
        ramp = linear_ramp(0.0, 0.25, 5)
        return unit, ScheduledStrength(lambda p: unit.drop_prob.fill_(p), ramp)

    def test_follows_the_schedule_one_step_at_a_time(self) -> None:
        unit, strength = self.scheduled()
        seen = [float(unit.drop_prob)]
        for _ in range(6):
            strength.step()
            seen.append(float(unit.drop_prob))
        assert seen == [0, 0.0625, 0.125, 0.1875, 0.25, 0.25, 0.25]

    def test_goes_on_where_it_was_saved(self) -> None:
        _, strength = self.scheduled()
        for _ in range(3):
            strength.step()
        unit, restored = self.scheduled()
        restored.load_state_dict(strength.state_dict())
        assert float(unit.drop_prob) == 0.1875
        restored.step()
        assert float(unit.drop_prob) == 0.25

    def test_no_forward_pass_moves_it(self) -> None:
        unit, strength = self.scheduled()
        strength.step()
        for training in (True, False):
            for _ in range(3):
                unit.train(training)(torch.ones(1, 1, 5, 5))
        assert float(unit.drop_prob) == 0.0625
        assert strength.state_dict() == {"position": 1}

    def test_follows_a_network_that_has_moved(self) -> None:
        unit, strength = self.scheduled()
        nn.Sequential(unit).double()
        strength.step()
        assert float(unit.drop_prob) == 0.0625
