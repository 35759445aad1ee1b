"""The metric over each searched value: a grid of panels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.search.report.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    best_label,
    data_limits,
    dot_entry,
    grid_shape,
    heading,
    legend_below,
    new_figure,
)
from service.search.report.colours import epoch_bar
from service.search.report.comparison import Comparison
from service.search.report.description import SweepDescription
from service.search.report.response_panel import dots_of, draw_best, draw_even, draw_fit, prepare
from service.search.report.scales import scale_of
from service.search.report.wording import drawable, length
from service.search.trials import Trial, ranked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import ColorType

_MOST = 12  # panels


def draw_response(
    sweep: SweepDescription, trials: Sequence[Trial], compared: Comparison | None
) -> "Figure":
    """Draws a panel for each searched value.

    Where trials are compared at an epoch that all reached, a panel has two parts: above what each
    trial came to, below the values at that epoch, on their own axis, and what fits them.

    Args:
        sweep: The sweep.
        trials: Its trials; at least one has a value.
        compared: What is fitted; None for no fit, where values changed during a trial.
    """
    shown = ranked(trials, sweep.mode)
    paths = list(sweep.space)[:_MOST]
    split = compared is not None and compared.epoch is not None
    rows, columns = grid_shape(len(paths))
    figure = new_figure(max(3.9 * columns + 0.8, 8), (4.6 if split else 3.1) * rows + 1.3)
    upper, lower = _panels(figure, len(paths), rows, columns, split)
    colours: list[ColorType] = [BLUE] * len(shown)
    if split:
        colours = epoch_bar(figure, [*upper, *lower], [trial.epochs for trial in shown])
    for path, top, bottom in zip(paths, upper, lower, strict=True):
        scale = scale_of(path, sweep.space[path], shown)
        dots = dots_of(path, scale, shown, sweep.mode, colours, compared)
        prepare(bottom, scale, dots)
        draw_best(top, dots)
        if split:
            draw_even(bottom, dots)
        if compared is not None:
            draw_fit(bottom, scale, dots, compared)
        bottom.set_xlabel(sweep.drawn_name(path, 34), fontsize=9, weight="bold")
    _limit(upper, lower, columns, sweep, shown, compared)
    _legend(figure, sweep, shown, compared)
    some = "" if len(paths) == len(sweep.space) else f" (the first {_MOST} of {len(sweep.space)})"
    what = "each searched value" if compared is not None else "what each value was at the end"
    heading(figure, sweep, trials, f"{sweep.metric} over {what}{some}")
    return figure


def _panels(
    figure: "Figure", number: int, rows: int, columns: int, split: bool
) -> tuple[list["Axes"], list["Axes"]]:
    """Returns the upper and the lower part of each panel, the same axes twice if not split."""
    parts = 2 if split else 1
    grid = figure.add_gridspec(parts * rows, columns)
    upper, lower = [], []
    for place in range(number):
        row, column = divmod(place, columns)
        lower.append(figure.add_subplot(grid[parts * row + parts - 1, column]))
        if split:
            upper.append(figure.add_subplot(grid[parts * row, column], sharex=lower[-1]))
            upper[-1].tick_params(labelbottom=False)
        else:
            upper.append(lower[-1])
    return upper, lower


def _limit(
    upper: Sequence["Axes"],
    lower: Sequence["Axes"],
    columns: int,
    sweep: SweepDescription,
    shown: Sequence[Trial],
    compared: Comparison | None,
) -> None:
    """Gives all panels the same heights, those of the dots, and names them once in each row."""
    best = [value for trial in shown if (value := trial.best(sweep.mode)) is not None]
    even = [] if compared is None else list(compared.values.values())
    if compared is not None and compared.epoch is not None:
        for axes in lower:
            axes.set_ylim(*data_limits(even))
        for axes in lower[::columns]:
            when = length(compared.epoch)
            axes.set_ylabel(drawable(sweep.label(f"{sweep.metric} after {when}")), fontsize=9)
    for axes in upper:
        axes.set_ylim(*data_limits(best))
    for axes in upper[::columns]:
        axes.set_ylabel(drawable(sweep.label(f"best {sweep.metric}")), fontsize=9)


def _legend(
    figure: "Figure",
    sweep: SweepDescription,
    shown: Sequence[Trial],
    compared: Comparison | None,
) -> None:
    from matplotlib.lines import Line2D

    entries = [dot_entry("best value of a trial", BLUE)]
    if compared is not None and compared.epoch is not None:
        entries = [
            dot_entry("best value of a trial (colour: epochs reached)", INK),
            dot_entry(f"its value after {length(compared.epoch)}", GREY, 3.5),
        ]
    entries.append(dot_entry(best_label(shown[0], sweep), ORANGE, 9, "none"))
    if compared is not None:
        entries.append(Line2D([], [], color=INK, label="least squares, 95 % band of the mean"))
    legend_below(figure, entries)
