"""A run's figures: last, best, how long, how fast."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.inspection.checkpoints import kept_checkpoints
from service.inspection.folders import Place
from service.inspection.journals import History
from service.training.best import best_name


@dataclass(frozen=True)
class Figure:
    """A figure of the evaluations."""

    name: str
    """Such as val/top1."""
    last: float
    """Its value at the last evaluation."""
    best: float | None = None
    """Its best value; None for figures that choose no checkpoint."""
    best_step: int | None = None
    """Optimiser steps at which that was, if the journal tells."""


def figures(place: Place, history: History) -> Iterator[Figure]:
    """Yields a run's figures, from its journal or, where that is lost, its newest checkpoint."""
    values = dict(history.figures)
    for kept in kept_checkpoints(place.folder):
        if values:
            break
        values = {name: value for name, value in kept.metrics.items() if name.startswith("val/")}
    for name, value in values.items():
        if name.startswith("val/best_"):
            continue
        best = best_name(name)
        yield Figure(name, value, values.get(best), history.best_step.get(best))


def last_value(place: Place, history: History, metric: str) -> float | None:
    """Returns the value of a metric at the last evaluation; None if it was not measured."""
    return next((one.last for one in figures(place, history) if one.name == metric), None)
