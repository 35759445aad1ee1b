"""All trials of a sweep as tables: for a program, and for a reader."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from service.config.sweep import Value
from service.search.report.description import SweepDescription
from service.search.report.wording import readable, summary
from service.search.trials import Trial, ranked

_ESCAPES = str.maketrans({letter: f"\\{letter}" for letter in "\\|<`*"})


def ordered(sweep: SweepDescription, trials: Sequence[Trial]) -> list[tuple[int | None, Trial]]:
    """Returns all trials with their ranks: best first, then those without a value, then failed."""
    best = ranked(trials, sweep.mode)
    placed = {trial.number for trial in best}
    rest = [trial for trial in trials if trial.number not in placed]
    rest.sort(key=lambda trial: (trial.status == "failed", trial.number))
    return [*enumerate(best, 1), *((None, trial) for trial in rest)]


def header(sweep: SweepDescription) -> list[str]:
    """Returns the names of a table's columns."""
    names = [sweep.name(path) for path in sweep.space]
    values = [f"best {sweep.metric}", f"last {sweep.metric}"]
    return ["rank", "trial", "status", *names, *values, "epochs", "minutes", "reason"]


def row(sweep: SweepDescription, rank: int | None, trial: Trial) -> list[Value]:
    """Returns a trial's line; what does not apply to it is an empty string."""
    best = trial.best(sweep.mode)
    return [
        "" if rank is None else rank,
        trial.number,
        trial.status,
        *(trial.point.get(path, "") for path in sweep.space),
        "" if best is None else best,
        trial.results[-1].value if trial.results else "",
        trial.epochs,
        trial.seconds / 60,
        trial.reason or "",
    ]


def write_tables(folder: Path, sweep: SweepDescription, trials: Sequence[Trial]) -> list[Path]:
    """Writes trials.csv, with all digits, and trials.md, with four; returns the files."""
    lines = [row(sweep, rank, trial) for rank, trial in ordered(sweep, trials)]
    table = write_csv(folder / "trials.csv", [header(sweep), *lines])
    text = markdown(sweep, trials, lines)
    return [table, write_text(folder / "trials.md", text)]


def markdown(
    sweep: SweepDescription, trials: Sequence[Trial], lines: Iterable[Sequence[Value]]
) -> str:
    """Returns the table as Markdown, below a line that says what the sweep was."""
    facts = [f"{sweep.label(sweep.metric)} ({sweep.better})", summary(trials), *sweep.facts]
    names = header(sweep)
    table = [names, ["---"] * len(names), *([readable(cell) for cell in line] for line in lines)]
    shown = [f"| {' | '.join(escaped(cell) for cell in cells)} |" for cells in table]
    return "\n".join([f"# {escaped(sweep.title)}", "", escaped("; ".join(facts)), "", *shown, ""])


def escaped(text: str) -> str:
    """Returns a text that stands in one cell of a Markdown table as it is."""
    return " ".join(text.split()).translate(_ESCAPES)


def write_csv(file: Path, lines: Iterable[Sequence[Value]]) -> Path:
    """Writes lines as CSV, numbers with all digits; the file appears whole. Returns it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for line in lines:
        # As YAML spells them: null, true, false.
        writer.writerow([cell if isinstance(cell, float) else readable(cell) for cell in line])
    return write_text(file, buffer.getvalue())


def write_text(file: Path, text: str) -> Path:
    """Writes a text file that appears whole; returns it."""
    unfinished = file.with_name(f".{file.name}")
    unfinished.write_text(text, encoding="utf-8", newline="")
    unfinished.replace(file)
    return file
