"""What a run's journal of metrics tells: its end, read from behind, or all of it."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.tracking.journal import METRICS_JOURNAL
from service.tracking.records import EventRecord, MetricRecord, parse_record, scan_records
from service.training.best import best_name

_TAIL = 256 * 1024
"""Bytes from the end: of an epoch with hundreds of logged steps the last evaluation is in it."""


@dataclass(frozen=True)
class Tail:
    """The end of a journal."""

    step: int | None = None
    """Optimiser steps at its last record; None if there is none."""
    last: float | None = None
    """Value of the metric at the last evaluation."""
    best: float | None = None
    """Its best value until then."""


def read_tail(folder: Path, metric: str) -> Tail:
    """Returns the end of a run's journal, at the cost of reading a quarter of a megabyte.

    Args:
        folder: The run's folder.
        metric: The metric of the best checkpoints, such as val/top1.
    """
    step = None
    for line in _lines_backwards(folder / METRICS_JOURNAL):
        # To read a line costs a hundred times what it costs to look for a name in it.
        if step is not None and f'"{metric}"'.encode() not in line:
            continue
        record = _metrics(line)
        if record is None:
            continue
        step = record.step if step is None else step
        if metric in record.metrics:
            best = record.metrics.get(best_name(metric))
            return Tail(step, record.metrics[metric], best)
    return Tail(step)


def _lines_backwards(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(max(0, size - _TAIL))
            lines = opened.read(_TAIL).split(b"\n")
    except FileNotFoundError:
        return
    # The last line may still be being written, the first one may be cut.
    yield from reversed(lines[:-1] if size <= _TAIL else lines[1:-1])


def _metrics(line: bytes) -> MetricRecord | None:
    """Returns a line's metrics; None if it has none or is damaged, of which `show` tells."""
    try:
        record = parse_record(line)
    except ValueError:
        return None
    return record if isinstance(record, MetricRecord) else None


@dataclass
class History:
    """All of a journal."""

    began: float | None = None
    """Time of the first record, seconds since 1970."""
    ended: float | None = None
    """Time of the last record."""
    step: int = 0
    """Optimiser steps at the last record."""
    figures: dict[str, float] = field(default_factory=dict)
    """Last value of every figure of an evaluation, by its name: val/top1."""
    best_step: dict[str, int] = field(default_factory=dict)
    """Step at which each best value, such as val/best_top1, was reached."""
    training_seconds: float = 0.0
    """Time of all steps, without evaluation, start-up and steps that were lost."""
    evaluation_seconds: float = 0.0
    """Time of all evaluations."""
    speeds: list[float] = field(default_factory=list)
    """Pictures per second of each interval between logged steps."""
    workers: list[tuple[int, int]] = field(default_factory=list)
    """Step from which on there were how many workers."""
    recoveries: list[float] = field(default_factory=list)
    """Seconds without new figures at each restart of the workers."""
    skipped_steps: int = 0
    """Optimiser steps left out because a loss or gradient was not finite."""
    skipped_pictures: int | None = None
    """Training pictures that could not be used; None where none may be skipped."""
    events: list[EventRecord] = field(default_factory=list)
    """What people were told."""
    damaged_lines: int = 0
    """Lines that cannot be read."""

    @property
    def images_per_second(self) -> float | None:
        """Median speed of training; None before the first logged step."""
        return statistics.median(self.speeds) if self.speeds else None

    def add(self, record: MetricRecord) -> None:
        """Takes the next record of metrics."""
        metrics = record.metrics
        if "time/step_seconds" in metrics:
            self.training_seconds += metrics["time/step_seconds"] * (record.step - self.step)
        self.evaluation_seconds += metrics.get("time/evaluation_seconds", 0.0)
        for name, value in metrics.items():
            self._add(name, value, record.step)
        self.step = record.step

    def _add(self, name: str, value: float, step: int) -> None:
        if name.startswith("val/"):
            if name.startswith("val/best_") and self.figures.get(name) != value:
                self.best_step[name] = step
            self.figures[name] = value
        if not math.isfinite(value):
            return
        match name:
            case "time/images_per_second":
                self.speeds.append(value)
            case "time/recovery_seconds":
                self.recoveries.append(value)
            case "train/skipped_steps":
                self.skipped_steps = int(value)
            case "train/skipped_pictures":
                self.skipped_pictures = int(value)
            case "system/workers":
                if not self.workers or self.workers[-1][1] != int(value):
                    self.workers.append((step, int(value)))


def read_history(folder: Path) -> History:
    """Reads a run's journal from its beginning."""
    history = History()
    for record, _ in scan_records(folder / METRICS_JOURNAL, 0):
        if record is None:
            history.damaged_lines += 1
            continue
        if isinstance(record, MetricRecord):
            history.add(record)
        elif isinstance(record, EventRecord):
            history.events.append(record)
        history.began = record.time / 1000 if history.began is None else history.began
        history.ended = record.time / 1000
    return history
