"""What the driver prints while a run goes on: one line an evaluation, and a bar on a terminal."""

import sys
import threading
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from service.data.progress import ProgressLine, duration_text
from service.tracking.journal import METRICS_JOURNAL
from service.tracking.records import EventRecord, JournalReader, MetricRecord

if TYPE_CHECKING:
    # Controllers import this module and need no configuration.
    from service.training.length import RunLength


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
        length: "RunLength",
        figures: Collection[str],
        stream: TextIO | None = None,
        quiet_seconds: float = 60.0,
    ) -> None:
        self._reader = JournalReader(folder / METRICS_JOURNAL)
        self._reader.new_records()  # what was printed before a restart
        self._length = length
        self._figures = figures
        self._shown = ProgressLine(stream or sys.stdout, quiet_seconds)
        self._latest: dict[str, float] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="console", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._closing.wait(0.3):
            self._print_new()
        self._print_new()
        self._shown.clear()

    def _print_new(self) -> None:
        for record in self._reader.new_records():
            if isinstance(record, EventRecord):
                self._shown.line(f"{record.kind}: {record.text}")
            if not isinstance(record, MetricRecord):
                continue
            self._latest |= record.metrics
            if record.step == 0:
                continue  # only the name of the best metric, to be MLflow's first
            if any(name.startswith("val/") for name in record.metrics):
                self._shown.line(self._epoch_line(record))
            else:
                text = partial(progress_text, record.step, self._latest, self._length)
                self._shown.show(record.step / self._length.steps, text)

    def _epoch_line(self, record: MetricRecord) -> str:
        """Returns the line of an evaluation."""
        figures = "  ".join(
            f"{name.removeprefix('val/').replace('_', ' ')} {value:.2f}"
            for name, value in record.metrics.items()
            if name.startswith("val/") and _figure(name) in self._figures
        )
        metrics = {**self._latest, **record.metrics}
        return f"{progress_text(record.step, metrics, self._length)}  |  {figures}"


def progress_text(step: int, metrics: dict[str, float], length: "RunLength") -> str:
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


def announce(text: str) -> None:
    """Prints a line to the person who started the run."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()
