"""The learning rate as a pure function of the position, so that nothing has to be saved or resumed.

Step t counts from 0; the run has T steps, the warm-up W. Steps t < W climb on a line that starts at
`start_factor` and would reach 1 at t = W. From there the cosine and the line fall over T − W steps,
from 1 at t = W to `end_factor` at t = T, one step beyond the last: the last step still moves.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from functools import partial

from torch.optim import Optimizer

from service.config.durations import Duration
from service.config.errors import ConfigurationError
from service.config.optimization import (
    ConstantConfig,
    CosineConfig,
    LinearConfig,
    MultiStepConfig,
    ScheduleChoice,
    StepConfig,
)


def learning_rate_factor(
    config: ScheduleChoice, total_steps: int, steps_per_epoch: float
) -> Callable[[int], float]:
    """Returns the function from a step's number t ≥ 0 to its share of the peak learning rate.

    Args:
        config: The schedule.
        total_steps: Steps of the run, T.
        steps_per_epoch: Samples of an epoch over the global batch size.

    Raises:
        ConfigurationError: A step schedule's interval is 0.
    """
    warm_up = config.warm_up.duration.in_steps(steps_per_epoch, total_steps)
    start = config.warm_up.start_factor
    proper = _schedule_proper(config, warm_up, total_steps, steps_per_epoch)

    def factor(t: int) -> float:
        climb = start + (1 - start) * t / warm_up if t < warm_up else 1.0
        return climb * proper(t)

    return factor


def set_learning_rate(optimizer: Optimizer, factor: float) -> None:
    """Sets each group's learning rate to a share of its peak, `initial_lr`."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def _schedule_proper(
    config: ScheduleChoice, warm_up: int, total_steps: int, steps_per_epoch: float
) -> Callable[[int], float]:
    """Returns the schedule without its warm-up; 1 during the warm-up of a cosine or a line."""
    match config:
        case CosineConfig() | LinearConfig():
            shape = _cosine if isinstance(config, CosineConfig) else _line
            return partial(_fall, shape, config.end_factor, warm_up, total_steps)
        case StepConfig():
            interval = _exact_steps(config.every, steps_per_epoch, total_steps)
            if interval == 0:
                raise ConfigurationError("schedule.every must be above 0, such as 30ep")
            return partial(_stairs_at_intervals, config.factor, interval)
        case MultiStepConfig():
            moments = sorted(at.in_steps(steps_per_epoch, total_steps) for at in config.at)
            return partial(_stairs_at_moments, config.factor, moments)
        case ConstantConfig():
            return _constant


def _fall(
    shape: Callable[[float], float], end: float, warm_up: int, total_steps: int, t: int
) -> float:
    if t < warm_up:
        return 1.0
    if t >= total_steps:
        return end
    return end + (1 - end) * shape((t - warm_up) / (total_steps - warm_up))


def _cosine(progress: float) -> float:
    """Half a cosine from 1 to 0 (arXiv 1608.03983, equation 5, one cycle)."""
    return (1 + math.cos(math.pi * progress)) / 2


def _line(progress: float) -> float:
    return 1 - progress


def _stairs_at_intervals(factor: float, interval: float, t: int) -> float:
    # The hair matches Duration.in_steps: the k-th stair begins at step ⌈k · interval⌉.
    return float(factor ** math.floor((t + 1e-9) / interval))


def _stairs_at_moments(factor: float, moments: list[int], t: int) -> float:
    return float(factor ** bisect_right(moments, t))


def _constant(t: int) -> float:
    return 1.0


def _exact_steps(duration: Duration, steps_per_epoch: float, total_steps: int) -> float:
    """Returns a length in steps before rounding, so that many intervals do not add up its error."""
    unit = {"st": 1.0, "ep": steps_per_epoch, "run": float(total_steps)}[duration.unit]
    return duration.value * unit
