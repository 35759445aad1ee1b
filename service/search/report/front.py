"""The metric against the time of training: which trials none beats in both."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from service.search.report.canvas import (
    GREY,
    INK,
    ORANGE,
    data_limits,
    dot_entry,
    heading,
    legend_below,
    new_figure,
    tidy,
)
from service.search.report.description import SweepDescription
from service.search.report.wording import drawable
from service.search.trials import Mode, Trial, ranked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CLEARANCE = (0.06, 0.06)  # room of a trial's number, as shares of the axes


def pareto_front(trials: Iterable[Trial], mode: Mode) -> list[Trial]:
    """Returns the trials that no other beats in value and time of training, quickest first.

    A trial beats another that is no better in either and worse in one; equal ones are all
    returned. Failed trials and those without a value are not.
    """
    sign = -1 if mode == "max" else 1
    shown = ranked(trials, mode)
    costs = {
        t.number: (sign * best, t.seconds) for t in shown if (best := t.best(mode)) is not None
    }

    def beaten(trial: Trial) -> bool:
        loss, seconds = costs[trial.number]
        return any(
            other != (loss, seconds) and other[0] <= loss and other[1] <= seconds
            for other in costs.values()
        )

    return sorted((t for t in shown if not beaten(t)), key=lambda t: (t.seconds, t.number))


def draw_front(sweep: SweepDescription, trials: Sequence[Trial]) -> "Figure":
    """Draws the best value of each trial over its minutes and marks the front."""
    from matplotlib.lines import Line2D

    shown = ranked(trials, sweep.mode)
    front = pareto_front(trials, sweep.mode)
    figure = new_figure(7.5, 5.2)
    axes = figure.add_subplot()
    tidy(axes)
    entries = []
    for whole, face, label in ((True, GREY, "finished"), (False, "white", "not at full length")):
        x, y = _points([t for t in shown if (t.status == "finished") is whole], sweep.mode)
        if x:
            axes.scatter(x, y, s=26, facecolors=face, edgecolors=GREY, zorder=3)
            entries.append(dot_entry(label, GREY, 5, face))
    x, y = _points(front, sweep.mode)
    axes.step(x, y, where="post", color=ORANGE, linewidth=1.4, zorder=4)
    axes.scatter(x, y, s=48, color=ORANGE, zorder=5)
    front_label = "Pareto front, with trial numbers: none is both better and quicker"
    entries.append(Line2D([], [], color=ORANGE, marker="o", label=front_label))
    everywhere = _points(shown, sweep.mode)
    left, right = data_limits(everywhere[0])
    axes.set_xlim(max(left, 0.0), right)
    axes.set_ylim(*data_limits(everywhere[1]))
    _number(axes, front, x, y)
    axes.set_xlabel("minutes of training", fontsize=9)
    axes.set_ylabel(drawable(f"{sweep.label(f'best {sweep.metric}')} ({sweep.better})"), fontsize=9)
    legend_below(figure, entries)
    heading(figure, sweep, trials, f"best {sweep.metric} against the time of training")
    return figure


def _points(trials: Sequence[Trial], mode: Mode) -> tuple[list[float], list[float]]:
    found = [(t.seconds / 60, best) for t in trials if (best := t.best(mode)) is not None]
    return [x for x, _ in found], [y for _, y in found]


def _number(axes: "Axes", front: Sequence[Trial], x: Sequence[float], y: Sequence[float]) -> None:
    """Writes the numbers of the trials of the front that have room, the best first."""
    from matplotlib.patheffects import withStroke

    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    halo = [withStroke(linewidth=2.5, foreground="white")]
    taken: list[tuple[float, float]] = []
    for trial, at, value in reversed(list(zip(front, x, y, strict=True))):
        place = ((at - left) / (right - left), (value - low) / (high - low))
        if all(
            abs(place[0] - a) > _CLEARANCE[0] or abs(place[1] - b) > _CLEARANCE[1] for a, b in taken
        ):
            taken.append(place)
            axes.annotate(
                *(f"{trial.number}", (at, value)),
                xytext=(5, -5),
                textcoords="offset points",
                va="top",
                size=8,
                color=INK,
                zorder=6,
                path_effects=halo,
            )
