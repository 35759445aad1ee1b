"""Whose weights a trial of a population carries, and what each trial's values were when."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.search.trials import Point, Trial


@dataclass(frozen=True)
class Stretch:
    """Training of one trial with one set of values."""

    number: int
    """The trial."""
    start: float
    """Epoch from which."""
    end: float
    """Epoch up to which."""
    point: Point | None
    """Its values; None where they are not known: those that a trial had before its first change,
    unless a change at epoch 0 names them."""
    source: int | None = None
    """Trial whose state it began with; None for a fresh network."""


def stretches(trial: Trial) -> list[Stretch]:
    """Returns how a trial's values went, in the order of time.

    A stretch that was given up ends where the next one begins, or is empty if that lies before it.
    """
    if not trial.changes:
        return [Stretch(trial.number, 0.0, trial.epochs, trial.point)]
    ends = [*(change.epoch for change in trial.changes[1:]), trial.epochs]
    found = [
        Stretch(trial.number, c.epoch, max(c.epoch, end), c.point, c.source)
        for c, end in zip(trial.changes, ends, strict=True)
    ]
    first = trial.changes[0].epoch
    return [Stretch(trial.number, 0.0, first, None), *found] if first > 0 else found


def lineage(trials: Sequence[Trial], number: int) -> list[Stretch]:
    """Returns the stretches that led to a trial's last weights, from the first epoch on.

    At each change the line goes on in the source, up to the epoch from which its state was taken.
    It begins later than at 0 if a source is not among the trials.
    """
    known = {trial.number: trial for trial in trials}
    found: list[Stretch] = []
    end = known[number].epochs
    source: int | None = number
    while source in known:
        trial, source = known[source], None
        for stretch in reversed([s for s in stretches(trial) if s.start < end]):
            found.append(replace(stretch, end=min(stretch.end, end)))
            end = stretch.start
            if stretch.source not in (None, trial.number):
                source = stretch.source
                break
    return found[::-1]
