"""What the driver prints while a run goes on: one line an evaluation, and a bar on a terminal."""

import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from service.tracking.journal import METRICS_JOURNAL
from service.tracking.records import EventRecord, JournalReader, MetricRecord
from service.training.length import RunLength

_BAR_WIDTH = 20


class Console:
    """Follows a run's journal in a thread of its own; as a context manager it ends with the run.

    Args:
        folder: The run's folder.
        length: How long the run is.
        figures: What an evaluation's line shows of its figures: top1, box_ap.
        stream: Where lines go; the bar appears only if it is a terminal.
        quiet_seconds: Longest silence in a log that is no terminal, while steps are logged.
    """

    def __init__(
        self,
        folder: Path,
        length: RunLength,
        figures: Collection[str],
        stream: TextIO | None = None,
        quiet_seconds: float = 60.0,
    ) -> None:
        self._reader = JournalReader(folder / METRICS_JOURNAL)
        self._reader.new_records()  # what was printed before a restart
        self._length = length
        self._figures = figures
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._latest: dict[str, float] = {}
        self._quiet_seconds = quiet_seconds
        self._last_line = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="console", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._closing.wait(0.3):
            self._print_new()
        self._print_new()
        if self._terminal:
            self._stream.write("\r\x1b[K")
        self._stream.flush()

    def _print_new(self) -> None:
        for record in self._reader.new_records():
            if isinstance(record, EventRecord):
                self._line(f"{record.kind}: {record.text}")
            if not isinstance(record, MetricRecord):
                continue
            self._latest |= record.metrics
            if record.step == 0:
                continue  # only the name of the best metric, to be MLflow's first
            if any(name.startswith("val/") for name in record.metrics):
                self._line(self._epoch_line(record))
            elif self._terminal:
                self._draw_bar(record)
            elif time.monotonic() - self._last_line >= self._quiet_seconds:
                self._line(progress_text(record.step, self._latest, self._length))

    def _epoch_line(self, record: MetricRecord) -> str:
        """Returns the line of an evaluation."""
        figures = "  ".join(
            f"{name.removeprefix('val/').replace('_', ' ')} {value:.2f}"
            for name, value in record.metrics.items()
            if name.startswith("val/") and _figure(name) in self._figures
        )
        metrics = {**self._latest, **record.metrics}
        return f"{progress_text(record.step, metrics, self._length)}  |  {figures}"

    def _line(self, text: str) -> None:
        clear = "\r\x1b[K" if self._terminal else ""
        self._stream.write(f"{clear}{text}\n")
        self._stream.flush()
        self._last_line = time.monotonic()

    def _draw_bar(self, record: MetricRecord) -> None:
        steps = self._length.steps
        filled = _BAR_WIDTH * record.step // steps
        bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
        progress = progress_text(record.step, self._latest, self._length)
        self._stream.write(f"\r\x1b[K{bar} {progress}")
        self._stream.flush()


def progress_text(step: int, metrics: dict[str, float], length: RunLength) -> str:
    """Returns epoch, step, loss, learning rate, speed, data wait and time left of a moment."""
    speed = metrics.get("time/images_per_second", 0.0)
    left = (length.steps - step) * length.batch_size / speed if speed else 0.0
    parts = [
        f"epoch {length.epoch(step):.1f}/{length.epochs:g}",
        f"step {step}/{length.steps}",
        f"loss {metrics.get('train/loss', float('nan')):.4f}",
        f"lr {metrics.get('train/lr', float('nan')):.3g}",
        f"{speed:.0f} pictures/s",
        f"data wait {metrics.get('time/data_wait', 0.0):.0%}",
        f"{duration_text(left)} left",
    ]
    return "  ".join(parts)


def _figure(name: str) -> str:
    """Returns which figure a metric is: top1 of val/best_top1, val/ema_top1 and val/top1."""
    return name.removeprefix("val/").removeprefix("best_").removeprefix("ema_")


def duration_text(seconds: float) -> str:
    """Returns a length of time as people read it: 45 s, 3 min 20 s, 5 h 07 min."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def announce(text: str) -> None:
    """Prints a line to the person who started the run."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()
