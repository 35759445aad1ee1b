"""Colours that say how good a value is, or how long a trial trained, and their bars."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from service.search.report.canvas import data_limits
from service.search.report.description import SweepDescription
from service.search.report.scales import number_scale
from service.search.report.wording import drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.typing import ColorType

_FENCE = 1.5  # Tukey's: quartiles ± so many interquartile ranges
_WIDE = 8  # epochs that span this factor are coloured by their logarithm
_TICKS = 6
_SLIM = 5.5  # height over width of a bar, for each inch of a figure's height


def colour_range(values: Sequence[float], higher_is_better: bool) -> tuple[float, float]:
    """Returns the ends of the metric's colours: all values but far outliers on the bad side.

    Otherwise one trial that learned nothing would leave one colour for all others.
    """
    low, high = min(values), max(values)
    first, third = (float(q) for q in np.quantile(values, (0.25, 0.75)))
    if len(values) >= 8 and third > first:
        reach = _FENCE * (third - first)
        if higher_is_better:
            low = max(low, first - reach)
        else:
            high = min(high, third + reach)
    return data_limits((low, high)) if math.isclose(low, high) else (low, high)


def metric_bar(
    figure: "Figure", axes: "Axes", values: Sequence[float], sweep: SweepDescription, label: str
) -> list["ColorType"]:
    """Draws the metric's colour bar beside axes, dark for the best; returns each value's colour."""
    from matplotlib.colors import Normalize

    low, high = colour_range(values, sweep.mode == "max")
    cut = [
        name for name, is_cut in (("min", min(values) < low), ("max", max(values) > high)) if is_cut
    ]
    norm = Normalize(low, high, clip=True)
    shades = _shades("viridis", sweep.mode == "max")
    _bar(figure, [axes], shades, norm, f"{label} ({sweep.better})", *cut)
    return [shades(norm(value)) for value in values]


def epoch_bar(
    figure: "Figure", panels: Sequence["Axes"], epochs: Sequence[float]
) -> list["ColorType"]:
    """Draws a bar of epochs reached beside panels, dark for the longest; returns the colours."""
    from matplotlib.colors import Normalize

    low, high = min(epochs), max(epochs)
    scale = number_scale(epochs, log=low > 0 and high >= _WIDE * low)
    places = [place for epoch in epochs if (place := scale.coordinate(epoch)) is not None]
    norm = Normalize(scale.low, scale.high)
    shades = _shades("plasma", True)
    bar = _bar(figure, panels, shades, norm, "epochs reached")
    distinct = sorted(set(places))
    ticks = (
        [(p, scale.text(p)) for p in distinct] if len(distinct) <= _TICKS else scale.ticks(_TICKS)
    )
    bar.set_ticks([place for place, _ in ticks], labels=[text for _, text in ticks])
    bar.ax.minorticks_off()
    return [shades(norm(place)) for place in places]


def _shades(name: str, dark_high: bool) -> "Colormap":
    """Returns a colour map without its palest end, which is hard to see on white."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    shades = colormaps[name](np.linspace(0.0, 0.92, 256))
    return ListedColormap(shades[::-1] if dark_high else shades)


def _bar(
    figure: "Figure",
    panels: Sequence["Axes"],
    shades: "Colormap",
    norm: "Normalize",
    label: str,
    extend: str = "neither",
) -> "Colorbar":
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(
        ScalarMappable(norm, shades),
        ax=list(panels),
        extend=extend,
        pad=0.02,
        aspect=_SLIM * figure.get_figheight(),
    )
    bar.set_label(drawable(label), fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return bar
