"""The mean metric over two searched numbers at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from service.search.report.canvas import INK, heading, new_figure
from service.search.report.colours import metric_bar
from service.search.report.comparison import Comparison
from service.search.report.description import SweepDescription
from service.search.report.scales import Scale, scale_of
from service.search.report.wording import length
from service.search.trials import Trial, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 8  # distinct values that get a column each
_BINS = 5
_LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue
_LIGHT = 0.25  # relative luminance from which dark text has more contrast on a cell than white


@dataclass(frozen=True)
class Columns:
    """The columns of a heat map, or its rows."""

    edges: tuple[float, ...]
    """Coordinates between which each column lies."""
    labels: tuple[str, ...]
    """What each column is called."""

    def place(self, coordinate: float) -> int:
        """Returns the column of a coordinate within the edges; the last edge is included."""
        found = int(np.searchsorted(self.edges, coordinate, side="right")) - 1
        return min(max(found, 0), len(self.labels) - 1)


def columns_of(scale: Scale, coordinates: Sequence[float]) -> Columns:
    """Returns a column for each distinct coordinate, or five of equal width for the whole scale.

    Each gets its own if there are at most eight and some recur, or the scale has only a few.
    """
    distinct = sorted({round(place, 9) for place in coordinates})
    few = bool(scale.marks) or scale.whole or len(distinct) < len(coordinates)
    if few and len(distinct) <= _MOST:
        between = [(a + b) / 2 for a, b in pairwise(distinct)]
        edges = (distinct[0] - 1, *between, distinct[-1] + 1)
        return Columns(edges, tuple(scale.text(place) for place in distinct))
    edges = tuple(float(e) for e in np.linspace(scale.low, scale.high, _BINS + 1))
    ends = [scale.text(edge) for edge in edges]
    return Columns(edges, tuple(f"{a} to {b}" for a, b in pairwise(ends)))


def cells(
    across: Columns, up: Columns, places: Sequence[tuple[float, float]], values: Sequence[float]
) -> Mapping[tuple[int, int], list[float]]:
    """Returns the values in each cell that has any, by column and row."""
    found: dict[tuple[int, int], list[float]] = {}
    for (x, y), value in zip(places, values, strict=True):
        found.setdefault((across.place(x), up.place(y)), []).append(value)
    return found


def draw_heat_map(
    sweep: SweepDescription,
    trials: Sequence[Trial],
    compared: Comparison,
    paths: tuple[str, str],
) -> "Figure | None":
    """Draws the mean of what is compared over two searched numbers.

    Args:
        sweep: The sweep.
        trials: Its trials.
        compared: The values.
        paths: The field across and the field upwards.

    Returns:
        The picture; None if no trial has a number for both fields and a value.
    """
    shown = [trial for trial in ranked(trials, sweep.mode) if trial.number in compared.values]
    scales = [scale_of(path, sweep.space[path], shown) for path in paths]
    places, values = [], []
    for trial in shown:
        x, y = (s.coordinate(trial.point.get(p)) for s, p in zip(scales, paths, strict=True))
        if x is not None and y is not None:
            places.append((x, y))
            values.append(compared.values[trial.number])
    if not places or "category" in (scale.kind for scale in scales):
        return None
    across, up = (columns_of(s, [p[i] for p in places]) for i, s in enumerate(scales))
    found = cells(across, up, places, values)
    figure = new_figure(max(3.2 + 1.25 * len(across.labels), 6.5), 2.4 + 0.7 * len(up.labels))
    when = "" if compared.epoch is None else f" after {length(compared.epoch)}"
    _draw_cells(figure, sweep, across, up, found, sweep.label(f"mean {sweep.metric}{when}"))
    figure.axes[0].set_xlabel(sweep.drawn_name(paths[0], 40), weight="bold")
    figure.axes[0].set_ylabel(sweep.drawn_name(paths[1], 40), weight="bold")
    names = " × ".join(sweep.name(path) for path in paths)
    heading(figure, sweep, trials, f"mean {sweep.metric}{when} over {names}")
    return figure


def _draw_cells(
    figure: "Figure",
    sweep: SweepDescription,
    across: Columns,
    up: Columns,
    found: Mapping[tuple[int, int], list[float]],
    label: str,
) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    axes = figure.add_subplot()
    means = {cell: float(np.mean(values)) for cell, values in found.items()}
    shades = metric_bar(figure, axes, list(means.values()), sweep, label)
    every = [(column, row) for column in range(len(across.labels)) for row in range(len(up.labels))]
    for column, row in sorted(set(every) - set(means)):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(
            Rectangle(corner, 1, 1, facecolor="#eeeeee", edgecolor="#c8c8c8", hatch="//")
        )
    for (column, row), shade in zip(means, shades, strict=True):
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=shade, edgecolor="white")
        )
        text = f"{means[column, row]:#.4g}\nn = {len(found[column, row])}"
        light = np.dot(np.power(to_rgb(shade), 2.2), _LUMINANCE) > _LIGHT
        ink = INK if light else "white"
        axes.text(column, row, text, ha="center", va="center", size=9, color=ink)
    axes.set_xticks(range(len(across.labels)), across.labels, fontsize=9)
    axes.set_yticks(range(len(up.labels)), up.labels, fontsize=9)
    axes.set(xlim=(-0.5, len(across.labels) - 0.5), ylim=(-0.5, len(up.labels) - 0.5))
    axes.spines[:].set_visible(False)
