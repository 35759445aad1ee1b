"""What the driver of a sweep shows while it goes on."""

import shutil
import sys
import time
from collections.abc import Callable
from math import ceil
from typing import TextIO

from service.cluster.sweeps.sweep import Sweep
from service.data.progress import duration_text
from service.search.ledger import Ledger
from service.search.trials import Trial, ranked

_ROWS = 20
_REDRAW_EVERY = 0.5  # seconds


class LiveTable:
    """A table that is drawn over itself on a terminal; elsewhere one line for each evaluation.

    Args:
        sweep: The sweep.
        ledger: Its trials.
        elapsed: Tells the seconds that the sweep has run.
        total: Trials in all.
        stream: Where it is drawn.
    """

    def __init__(
        self,
        sweep: Sweep,
        ledger: Ledger,
        elapsed: Callable[[], float],
        total: int,
        stream: TextIO | None = None,
    ) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._elapsed = elapsed
        self._total = total
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._drawn_lines = 0
        self._drawn_at = 0.0
        self._epochs_before = ledger.epochs
        self._elapsed_before = elapsed()

    def show_result(self, trial: Trial) -> None:
        """Shows an evaluation."""
        epochs = f"epoch {trial.epochs:g}/{self._sweep.length.epochs:g}"
        value = f"{self._metric_name} {trial.results[-1].value:.2f}"
        self._say(trial, f"{epochs}  {value}  {self._progress()}")

    def show_end(self, trial: Trial) -> None:
        """Shows that a trial ended."""
        self._say(trial, trial.reason or "finished")

    def show_change(self, trial: Trial, source: int) -> None:
        """Shows that a trial took over another one's state."""
        self._say(trial, f"goes on from trial {source:03d}")

    def close(self) -> None:
        """Draws the table for the last time."""
        self._draw()

    @property
    def _metric_name(self) -> str:
        return self._sweep.search.metric.rpartition("/")[2]

    def _say(self, trial: Trial, text: str) -> None:
        if self._terminal:
            if time.monotonic() - self._drawn_at >= _REDRAW_EVERY or trial.status != "running":
                self._draw()
            return
        line = f"trial {trial.number:03d}  {self._values(trial)}  {text}"
        self._stream.write(f"{time.strftime('%H:%M:%S')} {line}\n")
        self._stream.flush()

    def _values(self, trial: Trial) -> str:
        names = self._sweep.names
        return "  ".join(f"{names[path]}={_short(value)}" for path, value in trial.point.items())

    def _progress(self) -> str:
        leaders = ranked(self._ledger.trials, self._sweep.search.mode)
        value = leaders[0].best(self._sweep.search.mode) if leaders else None
        best = f"best {value:.2f} (trial {leaders[0].number:03d})" if value is not None else ""
        return f"{best}  {self._time_left()}".strip()

    def _time_left(self) -> str:
        """Returns how long the rest takes at the speed so far, if no trial is stopped early."""
        spent = self._ledger.epochs - self._epochs_before
        seconds = self._elapsed() - self._elapsed_before
        if spent <= 0:
            return ""
        full = self._sweep.length.epochs
        ended = sum(full - t.epochs for t in self._ledger.trials if t.status != "running")
        left = max(0.0, self._total * full - self._ledger.epochs - ended)
        return f"at most {duration_text(left * seconds / spent)} left"

    def _draw(self) -> None:
        if not self._terminal:
            return
        lines = self._lines()
        up = f"\x1b[{self._drawn_lines}F\x1b[J" if self._drawn_lines else ""
        self._stream.write(up + "\n".join(lines) + "\n")
        self._stream.flush()
        columns = shutil.get_terminal_size().columns
        self._drawn_lines = sum(max(1, ceil(len(line) / columns)) for line in lines)
        self._drawn_at = time.monotonic()

    def _lines(self) -> list[str]:
        """Returns the running trials and the best of the others, and a line that sums up."""
        mode = self._sweep.search.mode
        trials = self._ledger.trials
        running = [trial for trial in trials if trial.status == "running"]
        ended = [trial for trial in ranked(trials, mode) if trial.status != "running"]
        rows = [_row(trial, self._values(trial), mode) for trial in (running + ended)[:_ROWS]]
        counts = ", ".join(
            f"{sum(t.status == status for t in trials)} {status}"
            for status in ("running", "finished", "stopped", "failed")
        )
        head = f"{'trial':>5}  {'status':<8}  {'epoch':>6}  {self._metric_name:>8}  values"
        summary = f"{self._sweep.name}: {len(trials)}/{self._total} trials: {counts}"
        return [head, *rows, f"{summary}  {self._progress()}".rstrip()]


def _row(trial: Trial, values: str, mode: str) -> str:
    best = trial.best("max" if mode == "max" else "min")
    shown = "" if best is None else f"{best:.2f}"
    return f"{trial.number:>5}  {trial.status:<8}  {trial.epochs:>6g}  {shown:>8}  {values}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
