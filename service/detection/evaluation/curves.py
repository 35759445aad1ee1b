"""Precision–recall curves."""

import io
from typing import TYPE_CHECKING

import numpy as np

from service.detection.evaluation.accumulation import RECALLS
from service.detection.evaluation.matching import THRESHOLDS
from service.detection.evaluation.regions import Numbers
from service.detection.evaluation.report import EvaluationReport
from service.detection.evaluation.results import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 130


def mean_precision(precision: Numbers) -> Numbers:
    """Returns the mean over categories that have objects, (T, R); NaN where none has.

    Args:
        precision: (T, R, K), -1 for a category without objects, see `EvaluationReport`.
    """
    present = precision > -1
    total = np.where(present, precision, 0).sum(axis=2)
    counts = present.sum(axis=2)
    mean: Numbers = np.full(total.shape, np.nan)
    np.divide(total, counts, out=mean, where=counts > 0)
    return mean


def draw_curves(report: EvaluationReport) -> bytes:
    """Draws precision over recall, a panel for each kind and a curve for each threshold (IoU).

    A curve is the mean over categories; the area below it is the AP at its threshold.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure

    kinds = list(report.precision)
    figure = Figure(figsize=(6.4 * len(kinds), 4.4), layout="constrained")
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        _panel(axes, kind, report)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    return stream.getvalue()


def _panel(axes: "Axes", kind: Kind, report: EvaluationReport) -> None:
    from matplotlib import colormaps

    colours = colormaps["viridis"](np.linspace(0, 0.9, len(THRESHOLDS)))
    curves = mean_precision(report.precision[kind])
    for threshold, curve, colour in zip(THRESHOLDS, curves, colours, strict=True):
        label = f"{threshold:.2f}, AP {100 * curve.mean():.1f}"
        axes.plot(RECALLS, curve, color=colour, linewidth=1.4, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    ap = report.figures.get(f"{kind}_ap")
    shown = "no objects" if ap is None else f"AP {ap:.1f}"
    axes.legend(
        title="IoU",
        fontsize=8,
        title_fontsize=8,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )
    axes.set_title(f"{'boxes' if kind == 'box' else 'masks'}: {shown}", fontsize=10, loc="left")
