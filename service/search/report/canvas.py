"""What all pictures share: figures without a display, headings, legends, whole files."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.search.report.description import SweepDescription
from service.search.report.wording import drawable, readable, summary
from service.search.trials import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

INK = "#333333"
"""Lines of axes, fits and other marks beside data."""
GREY = "#9a9a9a"
"""What stays in the background."""
BLUE = "#0072b2"
"""Data of one kind (Okabe and Ito's palette, which colour-blind readers tell apart)."""
LIGHT_BLUE = "#8fc1de"
"""The same, where it stands on less."""
ORANGE = "#d55e00"
"""The best trial."""

_DPI = 150
_LETTERS = 13.0  # letters of a heading in an inch


def new_figure(width: float, height: float) -> "Figure":
    """Returns an empty figure of a size in inches that lays itself out."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", file: Path) -> Path:
    """Writes a picture as PNG; the file appears whole. Returns it."""
    unfinished = file.with_name(f".{file.name}")
    figure.savefig(unfinished, format="png", dpi=_DPI)
    unfinished.replace(file)
    return file


def heading(figure: "Figure", sweep: SweepDescription, trials: Sequence[Trial], shown: str) -> None:
    """Writes above a figure which sweep it is, what is shown, and how many trials there are."""
    facts = summary(trials)
    if any(trial.status == "failed" for trial in trials):
        facts += " (not shown)"
    width = int(figure.get_figwidth() * _LETTERS)
    lines = textwrap.wrap(f"{sweep.title} – {shown}", width)
    whole = [fact.replace(" ", "\N{NO-BREAK SPACE}") for fact in (facts, *sweep.facts)]
    lines += textwrap.wrap("; ".join(whole), width)
    figure.suptitle("\n".join(map(drawable, lines)), x=0.01, ha="left", fontsize=10, color=INK)


def grid_shape(panels: int) -> tuple[int, int]:
    """Returns rows and columns for a number of panels: one row of three, then about square."""
    columns = panels if panels <= 3 else math.ceil(panels**0.5)
    return math.ceil(panels / columns), columns


def dot_entry(label: str, colour: str, size: float = 6, face: str | None = None) -> "Line2D":
    """Returns a dot of a legend; `face` is the colour of its inside, if another."""
    from matplotlib.lines import Line2D

    return Line2D(
        [],
        [],
        label=drawable(label),
        color=colour,
        marker="o",
        markersize=size,
        linestyle="none",
        markerfacecolor=face or colour,
    )


def legend_below(figure: "Figure", entries: Sequence["Line2D"], columns: int = 2) -> None:
    """Draws a legend below all axes, where it covers nothing."""
    figure.legend(
        handles=list(entries), loc="outside lower left", ncols=columns, frameon=False, fontsize=9
    )


def tidy(axes: "Axes") -> None:
    """Takes half the frame away and draws a faint grid below the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def data_limits(values: Sequence[float], margin: float = 0.06) -> tuple[float, float]:
    """Returns the ends of an axis that holds these values with a margin, as a share."""
    low, high = min(values), max(values)
    room = margin * (high - low)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # as good as equal
        room = 0.05 * abs(high) or 0.5
    return low - room, high + room


def best_label(trial: Trial, sweep: SweepDescription) -> str:
    """Returns what a legend says of the best trial."""
    value = trial.best(sweep.mode)
    return f"best: trial {trial.number}, {'–' if value is None else readable(value)}{sweep.unit}"
