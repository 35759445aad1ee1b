"""How strong a regulariser is at each step of the training.

A schedule is a pure function from the number of optimiser steps taken so far to a strength. Where
the training loop knows its position nothing has to be saved or resumed (`strength_at`);
`ScheduledStrength` counts the steps for a loop that does not:

    strength = ScheduledStrength(lambda p: unit.drop_prob.fill_(p), linear_ramp(0, 0.1, 5000))
    strength.step()  # after each optimizer.step()
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

Schedule = Callable[[int], float]


class Length(Protocol):
    """A length of training that becomes steps once the run's length is known."""

    def in_steps(self, steps_per_epoch: float, steps_per_run: int | None = None) -> int:
        """Returns the length in optimiser steps."""
        ...


class Ramp(Protocol):
    """Where a strength starts and how long it moves, as the configuration describes it."""

    @property
    def start(self) -> float:
        """Strength at step 0."""
        ...

    @property
    def over(self) -> Length:
        """Length of the movement; below two steps for none."""
        ...


def constant(strength: float) -> Schedule:
    """Returns the schedule that is `strength` at every step."""
    return partial(_on_line, strength, strength, 0)


def linear_ramp(start: float, end: float, steps: int) -> Schedule:
    """Returns the schedule that moves evenly over `steps` steps, both ends among them, then stays.

    From 0 to 0.25 over 5 steps it is 0, 0.0625, 0.125, 0.1875, 0.25, 0.25, …

    Args:
        start: Strength at step 0.
        end: Strength at step `steps` − 1 and after it.
        steps: Steps of the movement; below 2 there is none, and the strength is `end`.

    Raises:
        ValueError: `steps` is negative.
    """
    if steps < 0:
        raise ValueError(f"steps is the length of the ramp, at least 0 (got {steps})")
    return partial(_on_line, start, end, steps)


def strength_at(
    ramp: Ramp, end: float, step: int, total_steps: int, steps_per_epoch: float
) -> float:
    """Returns the strength with which a step is taken.

    Args:
        ramp: Where the strength starts and how long it moves (`RampConfig`).
        end: The strength after the movement, P_L or drop_prob.
        step: Optimiser steps taken before it.
        total_steps: Optimiser steps of the run.
        steps_per_epoch: Optimiser steps of an epoch; need not be whole.
    """
    return linear_ramp(ramp.start, end, ramp.over.in_steps(steps_per_epoch, total_steps))(step)


class ScheduledStrength:
    """Keeps a strength on its schedule, one optimiser step after the other.

    It moves by `step` alone. Forward passes do not move it, so an evaluation, which takes no
    optimiser step, never does.

    Args:
        set_strength: Sets the strength of a network, such as `lambda p: unit.p.fill_(p)`. Look the
            buffer up anew each time, as here: moving a network to a device replaces its buffers.
        schedule: The strength at each position; that of position 0 is set at once.
    """

    def __init__(self, set_strength: Callable[[float], object], schedule: Schedule) -> None:
        self._set_strength = set_strength
        self._schedule = schedule
        self._move_to(0)

    def step(self) -> None:
        """Moves on by one optimiser step; call it after `optimizer.step()`."""
        self._move_to(self._position + 1)

    def state_dict(self) -> dict[str, int]:
        """Returns the position, which belongs into the checkpoint."""
        return {"position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Goes to the position that `state_dict` returned and sets its strength."""
        self._move_to(state["position"])

    def _move_to(self, position: int) -> None:
        self._position = position
        self._set_strength(self._schedule(position))


def _on_line(start: float, end: float, steps: int, step: int) -> float:
    last = steps - 1
    if step >= last:
        return end
    return start + (end - start) * (step / last)
