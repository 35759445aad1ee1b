"""How the values of a population went over its training."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from service.search.report.canvas import (
    GREY,
    ORANGE,
    best_label,
    data_limits,
    grid_shape,
    heading,
    legend_below,
    new_figure,
    tidy,
)
from service.search.report.description import SweepDescription
from service.search.report.lineage import Stretch, lineage, stretches
from service.search.report.scales import Scale, scale_of
from service.search.report.wording import drawable
from service.search.trials import Trial, ranked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 11  # panels beside the metric's


def draw_schedules(sweep: SweepDescription, trials: Sequence[Trial]) -> "Figure":
    """Draws the metric and each searched number over epochs, the best trial's line on top.

    Args:
        sweep: The sweep.
        trials: Its trials; at least one has a value.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    shown = ranked(trials, sweep.mode)
    # A source may have failed later.
    line = lineage(trials, shown[0].number)
    scales = {path: scale_of(path, d, shown) for path, d in sweep.space.items()}
    numeric = [path for path, scale in scales.items() if scale.kind != "category"][:_MOST]
    rows, columns = grid_shape(len(numeric) + 1)
    figure = new_figure(max(4.3 * columns, 7), 3 * rows + 1.2)
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(len(numeric) + 1)]
    _draw_metric(panels[0], sweep, trials, line)
    for axes, path in zip(panels[1:], numeric, strict=True):
        _draw_values(axes, path, scales[path], shown, line)
        axes.set_ylabel(sweep.drawn_name(path, 30), fontsize=9, weight="bold")
    end = max(trial.epochs for trial in shown)
    for axes in panels:
        axes.set_xlim(0, 1.02 * end or 1)
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
        axes.set_xlabel("epochs", fontsize=9)
    label = f"{best_label(shown[0], sweep)}, and where its weights came from"
    entries = [
        Line2D([], [], color=ORANGE, linewidth=2.6, label=label),
        Line2D([], [], color=GREY, linewidth=1, label="other trials"),
    ]
    if any(stretch.point is None for trial in shown for stretch in stretches(trial)):
        gap = "values before a trial's first change are not known"
        entries.append(Line2D([], [], linestyle="none", label=gap))
    legend_below(figure, entries)
    heading(figure, sweep, trials, f"{sweep.metric} and values over the training of each trial")
    return figure


def _draw_metric(
    axes: "Axes", sweep: SweepDescription, trials: Sequence[Trial], line: Sequence[Stretch]
) -> None:
    tidy(axes)
    shown = [trial.results for trial in ranked(trials, sweep.mode)]
    for found in shown:
        axes.plot([r.epoch for r in found], [r.value for r in found], ".-", color=GREY, linewidth=1)
    results = {trial.number: trial.results for trial in trials}
    led = [r for s in line for r in results[s.number] if s.start < r.epoch <= s.end]
    axes.plot([r.epoch for r in led], [r.value for r in led], ".-", color=ORANGE, linewidth=2.6)
    axes.set_ylim(*data_limits([r.value for r in (*led, *itertools.chain(*shown))]))
    axes.set_ylabel(drawable(sweep.label(sweep.metric)), fontsize=9, weight="bold")


def _draw_values(
    axes: "Axes", path: str, scale: Scale, shown: Sequence[Trial], line: Sequence[Stretch]
) -> None:
    tidy(axes)
    others = [chunk for trial in shown for chunk in courses(stretches(trial), path, scale)]
    for chunk in others:
        axes.plot([x for x, _ in chunk], [y for _, y in chunk], color=GREY, linewidth=1)
    for chunk in courses(line, path, scale):
        axes.plot([x for x, _ in chunk], [y for _, y in chunk], color=ORANGE, linewidth=2.6)
    # Only the part of the space that was used.
    low, high = data_limits([y for chunk in others for _, y in chunk] or [scale.low, scale.high])
    axes.set_ylim(low, high)
    ticks = replace(scale, low=low, high=high, marks=()).ticks()
    axes.set_yticks([place for place, _ in ticks], [text for _, text in ticks])


def courses(passed: Sequence[Stretch], path: str, scale: Scale) -> list[list[tuple[float, float]]]:
    """Returns lines of (epoch, coordinate), one for each run of stretches with a known value."""
    found: list[list[tuple[float, float]]] = [[]]
    for stretch in passed:
        value = scale.coordinate(stretch.point.get(path)) if stretch.point else None
        if value is None:
            found.append([])
        else:
            found[-1] += [(stretch.start, value), (stretch.end, value)]
    return [line for line in found if line]
