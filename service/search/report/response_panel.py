"""The metric over one searched value: dots, and what least squares make of them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from service.search.report.canvas import GREY, INK, ORANGE, tidy
from service.search.report.comparison import Comparison
from service.search.report.fits import fit, mean_interval
from service.search.report.scales import Scale
from service.search.report.wording import count, length
from service.search.trials import Mode, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import ColorType

_SPREAD = 0.4  # width over which the dots of a category lie
_BESIDE = 0.32  # distance of a category's mean from the middle of its dots
_GOLDEN = 0.618034  # multiples of it, without their whole parts, fill a width evenly
_LETTERS = 44  # letters below a panel
_FEW = 6  # categories that have their labels side by side


@dataclass(frozen=True)
class Dot:
    """A trial in a panel."""

    at: float
    """Coordinate on the panel's scale."""
    x: float
    """Where it is drawn: at its coordinate, or a little aside in the crowd of a category."""
    best: float
    """Its best value."""
    even: float | None
    """What a fit takes; None if it has no such value."""
    colour: "ColorType"
    """Colour of its best value."""
    leads: bool
    """Whether it is the sweep's best trial."""


def dots_of(
    path: str,
    scale: Scale,
    shown: Sequence[Trial],
    mode: Mode,
    colours: Sequence["ColorType"],
    compared: Comparison | None,
) -> list[Dot]:
    """Returns the dots of the trials that have a field.

    Args:
        path: The searched field.
        scale: Its axis.
        shown: Trials with a value, best first.
        mode: Which values are best.
        colours: Of each trial.
        compared: What is fitted; None for no fit.
    """
    found: list[Dot] = []
    for place, (trial, colour) in enumerate(zip(shown, colours, strict=True)):
        at = scale.coordinate(trial.point[path]) if path in trial.point else None
        best = trial.best(mode)
        if at is not None and best is not None:
            even = None if compared is None else compared.values.get(trial.number)
            aside = _SPREAD * ((0.5 + _GOLDEN * len(found)) % 1 - 0.5)
            x = at + aside if scale.kind == "category" else at
            found.append(Dot(at, x, best, even, colour, place == 0))
    return found


def prepare(axes: "Axes", scale: Scale, dots: Sequence[Dot]) -> None:
    """Gives a panel its axis of searched values; categories say how many trials they have."""
    room = 0.0 if scale.kind == "category" else 0.04 * (scale.high - scale.low)
    axes.set_xlim(scale.low - room, scale.high + room)
    width = _LETTERS // max(len(scale.categories), 1)
    ticks = scale.ticks(5, max(width, 14))
    slanted = len(scale.categories) > _FEW or any(len(text) > width for _, text in ticks)
    if scale.kind == "category":
        sizes = Counter(dot.at for dot in dots)
        between = " " if slanted else "\n"
        ticks = [(at, f"{text}{between}n={sizes[at]}") for at, text in ticks]
    axes.set_xticks([at for at, _ in ticks], [text for _, text in ticks])
    if slanted:
        for text in axes.get_xticklabels():
            text.set(rotation=50, ha="right", rotation_mode="anchor", fontsize=7)


def draw_best(axes: "Axes", dots: Sequence[Dot]) -> None:
    """Draws the best value of each trial, with a ring around the best of all."""
    tidy(axes)
    x, best, colours = [d.x for d in dots], [d.best for d in dots], [d.colour for d in dots]
    axes.scatter(x, best, s=34, color=colours, edgecolors="white", linewidths=0.5, zorder=4)
    ring = [dot for dot in dots if dot.leads]
    x, best = [dot.x for dot in ring], [dot.best for dot in ring]
    axes.scatter(x, best, s=100, facecolors="none", edgecolors=ORANGE, linewidths=1.8, zorder=5)


def draw_even(axes: "Axes", dots: Sequence[Dot]) -> None:
    """Draws the values that are fitted."""
    tidy(axes)
    even = [(dot.x, dot.even) for dot in dots if dot.even is not None]
    axes.scatter([x for x, _ in even], [y for _, y in even], s=14, color=GREY, linewidths=0)


def draw_fit(axes: "Axes", scale: Scale, dots: Sequence[Dot], compared: Comparison) -> None:
    """Draws what fits the values, and says above it what that is."""
    drawn = _draw_means(axes, dots) if scale.kind == "category" else _draw_curve(axes, dots)
    reached = sum(dot.even is not None for dot in dots)
    if drawn is None:
        text = "no fit: too few points"
    elif compared.epoch is None:
        text = f"{drawn}: {count(reached, 'trial')}"
    else:
        everyone = f"all {reached}" if reached == len(dots) else f"{reached} of {len(dots)}"
        text = f"{drawn}: after {length(compared.epoch)}, reached by {everyone}"
    axes.set_title(text, fontsize=8, loc="left", color=INK)


def _draw_curve(axes: "Axes", dots: Sequence[Dot]) -> str | None:
    pairs = [(dot.at, dot.even) for dot in dots if dot.even is not None]
    places = [place for place, _ in pairs]
    found = fit(places, [value for _, value in pairs])
    if found is None:
        return None
    x = np.linspace(min(places), max(places), 101)
    mean, half = found.mean(x), found.half_width(x)
    axes.plot(x, mean, color=INK, linewidth=1.5, zorder=3)
    axes.fill_between(x, mean - half, mean + half, color=INK, alpha=0.13, linewidth=0, zorder=2)
    return "parabola" if len(found.coefficients) == 3 else "line"


def _draw_means(axes: "Axes", dots: Sequence[Dot]) -> str | None:
    groups: defaultdict[float, list[float]] = defaultdict(list)
    for dot in dots:
        if dot.even is not None:
            groups[dot.at].append(dot.even)
    for at, values in groups.items():
        mean, half = mean_interval(values)
        axes.errorbar(at + _BESIDE, mean, half, fmt="D", color=INK, markersize=4.5, capsize=3)
    return "mean, 95 % interval" if groups else None
