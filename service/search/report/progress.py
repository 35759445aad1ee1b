"""The best value so far, over time and over epochs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from service.search.report.canvas import (
    BLUE,
    GREY,
    data_limits,
    heading,
    legend_below,
    new_figure,
    tidy,
)
from service.search.report.description import SweepDescription
from service.search.report.wording import drawable
from service.search.trials import Mode, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONG = 2 * 3600  # seconds from which a time axis counts hours


@dataclass(frozen=True)
class Evaluation:
    """A result in the course of the whole sweep."""

    at: float
    """Seconds since the sweep began."""
    epochs: float
    """Epochs that all trials together had trained by then, as far as they had reported."""
    value: float
    """The metric."""
    failed: bool
    """Whether its trial failed later; its epochs count, its value does not."""


def evaluations(trials: Iterable[Trial]) -> list[Evaluation]:
    """Returns all results in the order of time with the epochs spent up to each."""
    found = []
    for trial in trials:
        for result, epochs in zip(trial.results, epochs_spent(trial), strict=True):
            found.append((result.at, trial.number, epochs, result.value, trial.status == "failed"))
    found.sort(key=lambda entry: entry[:2])
    total = 0.0
    course = []
    for at, _, epochs, value, failed in found:
        total += epochs
        course.append(Evaluation(at, total, value, failed))
    return course


def epochs_spent(trial: Trial) -> list[float]:
    """Returns the epochs that a trial trained for each of its results, since the one before.

    A trial that took over another one's state went on from that one's epoch, ahead or behind.
    """
    # From the last result back: where a trial fell back, only its latest change can be why.
    waiting = [change.epoch for change in trial.changes]
    while waiting and waiting[-1] >= trial.epochs:
        waiting.pop()  # no result followed yet
    ends = [result.epoch for result in trial.results]
    spent = []
    for before, after in reversed(list(pairwise([0.0, *ends]))):
        fell_back = after <= before
        taken_over = bool(waiting) and waiting[-1] < after and (fell_back or waiting[-1] >= before)
        spent.append(max(after - (waiting.pop() if taken_over else before), 0.0))
    return spent[::-1]


def best_so_far(values: Sequence[float], mode: Mode) -> list[float]:
    """Returns the best of the values up to each."""
    better = np.maximum if mode == "max" else np.minimum
    return [float(value) for value in better.accumulate(np.asarray(values, dtype=np.float64))]


def draw_progress(sweep: SweepDescription, trials: Sequence[Trial]) -> "Figure":
    """Draws the best value over time and over epochs, each evaluation a dot."""
    from matplotlib.lines import Line2D

    course = [evaluation for evaluation in evaluations(trials) if not evaluation.failed]
    values = [evaluation.value for evaluation in course]
    best = best_so_far(values, sweep.mode)
    unit, seconds = ("hours", 3600) if course[-1].at >= _LONG else ("minutes", 60)
    figure = new_figure(10, 4.6)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, x, label in (
        (left, [e.at / seconds for e in course], f"{unit} since the sweep began"),
        (right, [e.epochs for e in course], "epochs, all trials together"),
    ):
        tidy(axes)
        axes.scatter(x, values, s=12, color=GREY, alpha=0.55, linewidths=0)
        axes.step(x, best, where="post", color=BLUE, linewidth=2)
        axes.set_xlim(0, 1.03 * x[-1] or 1)
        axes.set_xlabel(label, fontsize=9)
    left.set_ylim(*data_limits(values))
    left.set_ylabel(drawable(f"{sweep.label(sweep.metric)} ({sweep.better})"), fontsize=9)
    dot = Line2D([], [], color=GREY, marker="o", markersize=4, linestyle="none", label="evaluation")
    legend_below(figure, [Line2D([], [], color=BLUE, linewidth=2, label="best so far"), dot])
    heading(figure, sweep, trials, f"best {sweep.metric} so far")
    return figure
