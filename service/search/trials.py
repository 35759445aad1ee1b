"""What is known of the trials of a sweep."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from service.config.sweep import Value

Point: TypeAlias = dict[str, Value]
"""A value for the dotted path of each searched field that the trial has; conditional fields whose
condition does not hold are absent."""

Status = Literal["running", "finished", "stopped", "failed"]
"""Running (or waiting to be continued), at its full length, stopped early, or failed."""

Mode = Literal["max", "min"]


@dataclass(frozen=True)
class Result:
    """An evaluation of a trial."""

    epoch: float
    """Epochs that the trial had trained."""
    value: float
    """The metric; finite."""
    at: float
    """Seconds since the sweep began, pauses between drivers left out."""
    seconds: float
    """Seconds since the trial's first step, pauses left out."""


@dataclass(frozen=True)
class Change:
    """Values that a trial got while it trained (population based training).

    The first change of a trial is its beginning: at epoch 0, from itself.
    """

    epoch: float
    """Epoch from which the trial went on."""
    source: int
    """Number of the trial whose weights, optimiser and position it took."""
    point: Point
    """Its values from then on."""


@dataclass(frozen=True)
class Trial:
    """A trial and all that it showed."""

    number: int
    """From 1, in the order of proposal."""
    point: Point
    """Its values; the latest, where they changed."""
    status: Status = "running"
    results: tuple[Result, ...] = ()
    """In the order of time."""
    changes: tuple[Change, ...] = ()
    """In the order of time; empty but for population based training."""
    reason: str | None = None
    """Why it was stopped or failed, one line."""
    facts: dict[str, str] = field(default_factory=dict)
    """What else is known at its end: the `checkpoint`, the `run_id` in MLflow."""

    @property
    def epochs(self) -> float:
        """Epochs it has trained."""
        return self.results[-1].epoch if self.results else 0.0

    @property
    def seconds(self) -> float:
        """Seconds it has trained."""
        return self.results[-1].seconds if self.results else 0.0

    def best(self, mode: Mode) -> float | None:
        """Returns its best value so far."""
        values = [result.value for result in self.results]
        return (max(values) if mode == "max" else min(values)) if values else None


def ranked(trials: Iterable[Trial], mode: Mode) -> list[Trial]:
    """Returns the trials that have a value and did not fail, best first; of equals the earlier."""
    sign = -1 if mode == "max" else 1
    scored = [(t.best(mode), t) for t in trials if t.status != "failed"]
    found = [(sign * value, t.number, t) for value, t in scored if value is not None]
    return [t for _, _, t in sorted(found, key=lambda entry: entry[:2])]
