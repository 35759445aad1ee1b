"""Pictures of an evaluation for people: what is confused with what, and how sure it was."""

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.inference.answers import Answers
from service.inference.calibration import Calibration
from service.inference.confusion import confusions, matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 50
"""Of more, the matrix could not be read, and the worst confusions are drawn instead."""
_NUMBERED = 20  # classes up to which cells hold numbers
_MOST_PAIRS = 40
_LONGEST_NAME = 28
_DPI = 130


def draw_confusion(answers: Answers, names: Sequence[str]) -> bytes:
    """Draws the confusion matrix, or of more than `MOST_CLASSES` classes the worst confusions.

    Args:
        answers: All answers.
        names: Of the outputs.

    Returns:
        A PNG file.
    """
    if len(np.union1d(answers.labels, answers.predicted)) > MOST_CLASSES:
        return _encoded(_pairs(answers, names))
    occurring, shares = matrix(answers)
    return _encoded(_matrix(shares, [_short(names[label]) for label in occurring.tolist()]))


def draw_reliability(found: Calibration) -> bytes:
    """Draws accuracy over confidence, and below it how many answers each bin holds.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure

    bins = len(found.pictures)
    left, width = np.arange(bins) / bins, 1 / bins
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.bar(left, found.accuracy, width, align="edge", color="C0", edgecolor="white")
    upper.plot([0, 1], [0, 1], color="0.4", linestyle="--", linewidth=1, label="as right as sure")
    upper.plot(found.confidence, found.accuracy, "o", color="C3", markersize=4, label="mean of bin")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right answers")
    upper.set_title(f"calibration error {found.error:.2f} %", fontsize=10, loc="left")
    upper.legend(frameon=False, fontsize=8, loc="upper left")
    total = max(int(found.pictures.sum()), 1)
    lower.bar(left, 100 * found.pictures / total, width, align="edge", color="0.7", edgecolor="w")
    lower.set(xlabel="confidence: probability of the likeliest class", ylabel="pictures, %")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return _encoded(figure)


def _matrix(shares: NDArray[np.float64], names: Sequence[str]) -> "Figure":
    from matplotlib.figure import Figure

    count = len(names)
    side = 2.2 + max(2.4, (0.42 if count <= _NUMBERED else 0.24) * count)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    letters = 8 if count <= _NUMBERED else 7
    axes.set_xticks(range(count), names, rotation=90, fontsize=letters)
    axes.set_yticks(range(count), names, fontsize=letters)
    axes.set(xlabel="taken for", ylabel="shown")
    if count <= _NUMBERED:
        _number(axes, shares)
    figure.colorbar(image, ax=axes, shrink=0.7, label="% of the class's pictures")
    return figure


def _number(axes: "Axes", shares: NDArray[np.float64]) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share) and round(100 * share):
            colour = "white" if share > 0.5 else "black"
            text = f"{100 * share:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _pairs(answers: Answers, names: Sequence[str]) -> "Figure":
    from matplotlib.figure import Figure

    worst = confusions(answers)[:_MOST_PAIRS]
    figure = Figure(figsize=(8.6, 1.2 + 0.2 * max(len(worst), 4)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(worst)), [100 * one.share for one in worst], color="C0")
    labels = [f"{_short(names[one.shown])} → {_short(names[one.taken_for])}" for one in worst]
    axes.set_yticks(range(len(worst)), labels, fontsize=7)
    for row, one in enumerate(worst):
        axes.text(100 * one.share, row, f" {one.pictures}", va="center", fontsize=7)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.set_xlabel("% of the class's pictures, and how many", fontsize=8)
    axes.set_title("shown → taken for: the worst confusions", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _short(name: str) -> str:
    """Returns a name that fits, of which nothing is read as a formula."""
    cut = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return cut.replace("$", r"\$")


def _encoded(figure: "Figure") -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # Names may hold letters that the font lacks.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(stream, format="png", dpi=_DPI)
    return stream.getvalue()
