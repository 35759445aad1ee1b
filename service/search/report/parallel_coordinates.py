"""One vertical axis for each searched value and one for the metric; a line for each trial."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from service.search.report.canvas import (
    GREY,
    INK,
    best_label,
    heading,
    legend_below,
    new_figure,
)
from service.search.report.colours import metric_bar
from service.search.report.description import SweepDescription
from service.search.report.scales import Scale, number_scale, scale_of
from service.search.report.wording import drawable, labels
from service.search.trials import Trial, ranked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import ColorType

_ABSENT = -0.1  # height at which a trial without a value crosses its axis
_BAND = 0.5  # share of a category's room over which its lines spread
_LETTERS = 10  # letters of an axis title in an inch


def draw_parallel_coordinates(sweep: SweepDescription, trials: Sequence[Trial]) -> "Figure":
    """Draws all trials that have a value, the best one last."""
    shown = ranked(trials, sweep.mode)
    best = [value for t in shown if (value := t.best(sweep.mode)) is not None]
    scales = [scale_of(path, d, shown) for path, d in sweep.space.items()]
    columns = [heights(shown, path, scale) for path, scale in zip(sweep.space, scales, strict=True)]
    last = number_scale(best)
    places = np.array([(value - last.low) / (last.high - last.low) for value in best])
    lines = np.column_stack([*columns, places])
    gaps = len(scales)
    figure = new_figure(max(8.0, min(4 + 1.6 * gaps, 16)), 5.6)
    axes = figure.add_subplot()
    label = sweep.label(sweep.metric)
    colours = metric_bar(figure, axes, best, sweep, label)
    for place, scale in enumerate([*scales, last]):
        _draw_axis(axes, place, scale, place == gaps)
    _draw_names(axes, sweep, label, int(_LETTERS * figure.get_figwidth() / (gaps + 1.5)))
    for row in reversed(range(len(shown))):
        _draw_trial(axes, lines[row], shown[row], colours[row], row == 0, len(shown))
    absent = sorted(set(np.nonzero(np.isclose(lines, _ABSENT))[1].tolist()))
    for place in absent:
        _write(axes, place - 0.035, _ABSENT, "–", "right")
    axes.set(xlim=(-0.4, gaps + 0.15), ylim=(-0.14 if absent else -0.03, 1.12))
    axes.axis("off")
    _legend(figure, sweep, shown, colours[0], bool(absent))
    heading(figure, sweep, trials, f"best {sweep.metric} and values of each trial")
    return figure


def heights(trials: Sequence[Trial], path: str, scale: Scale) -> NDArray[np.float64]:
    """Returns where each trial's line crosses an axis: 0 to 1, or below for an absent value.

    The lines through a category spread over a band, the first trial's at its top.
    """
    found = np.full(len(trials), _ABSENT)
    for row, trial in enumerate(trials):
        share = scale.share(trial.point[path]) if path in trial.point else None
        if share is not None:
            found[row] = share
    if scale.kind == "category":
        room = min(_BAND / len(scale.categories), 0.2)
        for share in np.unique(found[found >= 0]):
            rows = np.flatnonzero(found == share)
            if len(rows) > 1:
                found[rows] = share + room * (0.5 - np.arange(len(rows)) / (len(rows) - 1))
    return found


def _draw_axis(axes: "Axes", place: int, scale: Scale, last: bool) -> None:
    """Draws an axis; its labels stand on the left, those of the last one on the right."""
    side = 1 if last else -1
    axes.plot([place, place], [0, 1], color=INK, linewidth=1.1, zorder=1000)
    for at, text in scale.ticks(most=8):
        height = (at - scale.low) / (scale.high - scale.low)
        tick = [place, place + 0.02 * side]
        axes.plot(tick, [height, height], color=INK, linewidth=1.1, zorder=1000)
        _write(axes, place + 0.035 * side, height, text, "left" if last else "right")


def _write(
    axes: "Axes", place: float, height: float, text: str, side: Literal["left", "right"]
) -> None:
    """Writes beside an axis, above all lines."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground="white")]
    written = axes.text(place, height, text, ha=side, va="center", size=8, color=INK)
    written.set(zorder=1001, path_effects=halo)


def _draw_names(axes: "Axes", sweep: SweepDescription, label: str, room: int) -> None:
    """Writes what each axis is: in one row, or in two if a name has more letters than room."""
    names = [sweep.name(path) for path in sweep.space]
    two_rows = max(map(len, [*names, label])) > room
    shown = [*labels(names, max(int(1.8 * room), 14)), drawable(label)]
    for place, name in enumerate(shown):
        height = 1.085 if two_rows and place % 2 == 0 else 1.03
        axes.text(place, height, name, ha="center", va="bottom", size=9, weight="bold", color=INK)


def _draw_trial(
    axes: "Axes",
    line: NDArray[np.float64],
    trial: Trial,
    colour: "ColorType",
    best: bool,
    of: int,
) -> None:
    from matplotlib.patheffects import Normal, withStroke

    places = range(len(line))
    if best:
        around = [withStroke(linewidth=6.5, foreground="white"), Normal()]
        axes.plot(places, line, color=colour, linewidth=4, path_effects=around, zorder=900)
        return
    crowd = min(1.0, (30 / of) ** 0.5)  # many lines are fainter
    if trial.status == "finished":
        axes.plot(places, line, color=colour, linewidth=1.8, alpha=max(0.45, 0.9 * crowd))
    else:
        style = (0, (4, 2))
        axes.plot(
            places, line, color=colour, linewidth=0.9, alpha=max(0.3, 0.65 * crowd), linestyle=style
        )


def _legend(
    figure: "Figure",
    sweep: SweepDescription,
    shown: Sequence[Trial],
    colour: "ColorType",
    absent: bool,
) -> None:
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], color=colour, linewidth=4, label=best_label(shown[0], sweep))]
    kinds = {trial.status for trial in shown[1:]}
    if "finished" in kinds:
        entries.append(Line2D([], [], color=GREY, linewidth=1.8, label="finished"))
    if kinds - {"finished"}:
        short = Line2D([], [], color=GREY, linewidth=0.9, linestyle=(0, (4, 2)))
        short.set_label("stopped early or running" if "running" in kinds else "stopped early")
        entries.append(short)
    if absent:
        entries.append(Line2D([], [], linestyle="none", label="–  not searched in this trial"))
    legend_below(figure, entries, columns=4)
