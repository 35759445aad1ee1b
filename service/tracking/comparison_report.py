"""A comparison as Markdown and as a picture: what goes into a paper or a report."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from service.tracking.comparison import Method, label, shared

_LABEL_WIDTH = 36  # characters of a line beside the picture


def markdown(found: Sequence[Method]) -> str:
    """Returns a table: method, error (mean ± deviation over seeds), published, difference, runs.

    A line below it names what all methods share.
    """
    lines = [
        "| method | error, % | published, % | difference | runs |",
        "|---|---|---|---|---|",
    ]
    for method in found:
        cells = (
            label(method, found),
            _error(method),
            _number(method.published),
            "–" if method.difference is None else f"{method.difference:+.2f}",
            str(len(method.errors)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"All methods: {shared(found)}."])


def draw(found: Sequence[Method], file: Path, title: str) -> None:
    """Draws each method's error with its deviation, each run, and the published figure.

    Args:
        found: The methods, least error first.
        file: PNG to write; it appears whole.
        title: Heading of the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.45 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    for row, method in enumerate(found):
        axes.errorbar(method.mean, row, xerr=method.deviation or 0, fmt="o", color="C0", capsize=4)
        axes.scatter(method.errors, [row] * len(method.errors), s=12, color="C0", alpha=0.4)
        if method.published is not None:
            axes.scatter([method.published], [row], marker="|", s=220, color="C3")
    names = [textwrap.fill(label(method, found), _LABEL_WIDTH) for method in found]
    axes.set_yticks(range(len(found)), names)
    axes.margins(y=0.15)
    axes.invert_yaxis()
    published = " (red: published)" if any(m.published is not None for m in found) else ""
    axes.set_xlabel(f"error, %: mean ± deviation over seeds{published}")
    axes.set_title(title)
    axes.grid(axis="x", alpha=0.3)
    unfinished = file.with_name(f".{file.name}")
    figure.savefig(unfinished, format="png", dpi=150)
    unfinished.replace(file)


def _error(method: Method) -> str:
    spread = method.deviation
    return _number(method.mean) + ("" if spread is None else f" ± {spread:.2f}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
