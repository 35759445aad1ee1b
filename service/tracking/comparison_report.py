"""A comparison as Markdown and as a picture: what goes into a paper or a report."""

from collections.abc import Sequence
from pathlib import Path

from service.tracking.comparison import Method, label


def markdown(found: Sequence[Method]) -> str:
    """Returns a table: method, error (mean ± deviation over seeds), published, difference, runs."""
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
    return "\n".join(lines)


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
    axes.set_yticks(range(len(found)), [label(method, found) for method in found])
    axes.invert_yaxis()
    axes.set_xlabel("error, %: mean ± deviation over seeds (red: published)")
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
