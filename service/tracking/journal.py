"""The journal of a run's metrics: what was measured, on disk before anyone asks a server."""

import errno
import json
import logging
import math
import os
import re
import threading
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from time import time_ns
from types import TracebackType
from typing import Self

from service.tracking.names import check_artifact_path, check_metric_name
from service.tracking.records import MetricRecord, scan_records

logger = logging.getLogger(__name__)

METRICS_JOURNAL = "metrics.jsonl"
"""Name of the training process's journal in the run folder."""


def system_journal(node: str) -> str:
    """Returns the name of the journal of a node's load in the run folder; `*` stands for all."""
    name = re.sub(r"[^\w.*\-]", "_", node)
    return f"system-{name}.jsonl"


class Journal:
    """An append-only file of JSON lines: metrics with their step and time, events, and files.

    Each line is one write to a file opened for appending, so a killed process loses at most the
    line it was writing. That line is cut off when the journal is opened again.
    Many threads of one process may write; only one process may.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        self._last_step: dict[str, int] = {}
        end = 0
        for record, end in scan_records(path, 0):  # noqa: B007  # the last end is used below
            if isinstance(record, MetricRecord):
                for name in record.metrics:
                    self._last_step[name] = max(record.step, self._last_step.get(name, -1))
        self._file = FileIO(path, "a")
        unfinished = os.fstat(self._file.fileno()).st_size - end
        if unfinished:
            logger.info("%s: unfinished last line of %d bytes cut off", path, unfinished)
            self._file.truncate(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, step: int, metrics: Mapping[str, float], time: int | None = None) -> None:
        """Records metrics of a step, once.

        A metric that already has this step or a later one is left out, so that a resumed run may
        pass again through steps it had already recorded.

        Args:
            step: Optimiser step, at least 0.
            metrics: Value by name.
            time: When they were measured, milliseconds since 1970; None for now.

        Raises:
            ValueError: The step is negative or MLflow would refuse a name.
            OSError: The line could not be written; the journal stays as it was.
        """
        _check_step(step)
        with self._lock:
            fresh = {name: value for name, value in metrics.items() if step > self._step_of(name)}
            if fresh:
                self._write_metrics(step, fresh, _milliseconds() if time is None else time)
                self._last_step.update(dict.fromkeys(fresh, step))

    def write_sample(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records metrics that may be sampled many times in a step, such as the load of a node.

        Args:
            step: Optimiser step the sample falls into, at least 0.
            metrics: Value by name.

        Raises:
            ValueError: The step is negative or MLflow would refuse a name.
            OSError: The line could not be written; the journal stays as it was.
        """
        _check_step(step)
        with self._lock:
            for name in metrics:
                self._step_of(name)
            if metrics:
                self._write_metrics(step, metrics, _milliseconds())
                self._last_step.update(dict.fromkeys(metrics, step))

    def write_event(self, kind: str, text: str) -> None:
        """Records something people should read.

        Args:
            kind: What it is about.
            text: One line.

        Raises:
            OSError: The line could not be written; the journal stays as it was.
        """
        with self._lock:
            self._append(json.dumps({"time": _milliseconds(), "event": kind, "text": text}))

    def write_artifact(self, path: str) -> None:
        """Records that a file of the run was written.

        Args:
            path: Where it lies below the run's folder of files.

        Raises:
            ValueError: The path leads elsewhere, or MLflow would refuse it.
            OSError: The line could not be written; the journal stays as it was.
        """
        check_artifact_path(path)
        with self._lock:
            self._append(json.dumps({"time": _milliseconds(), "artifact": path}))

    def close(self) -> None:
        """Closes the file; later writes raise ValueError."""
        self._file.close()

    def _step_of(self, name: str) -> int:
        """Returns the last step of a metric, −1 for a new one, whose name is checked."""
        last = self._last_step.get(name)
        if last is None:
            check_metric_name(name)
            return -1
        return last

    def _write_metrics(self, step: int, metrics: Mapping[str, float], time: int) -> None:
        """Appends a line of metrics; the caller holds the lock."""
        # Written by hand: json.dumps takes half as long again. A name needs no escapes:
        # check_metric_name admits no quote and no backslash.
        values = ",".join(f'"{name}":{_number(value)}' for name, value in metrics.items())
        self._append(f'{{"time":{time},"step":{step},"metrics":{{{values}}}}}')

    def _append(self, text: str) -> None:
        """Appends a line whole or not at all; the caller holds the lock."""
        line = f"{text}\n".encode()
        written = self._file.write(line)
        if written != len(line):
            size = os.fstat(self._file.fileno()).st_size
            self._file.truncate(size - (written or 0))
            raise OSError(errno.ENOSPC, "no space left for a line of metrics", str(self.path))


def _number(value: float) -> str:
    """Returns a number as Python's json module writes and reads it."""
    number = float(value)
    return repr(number) if math.isfinite(number) else json.dumps(number)


def _check_step(step: int) -> None:
    """Refuses a negative step."""
    if step < 0:
        raise ValueError(f"step must be at least 0 (got {step})")


def _milliseconds() -> int:
    """Returns the time in milliseconds since 1970, UTC."""
    return time_ns() // 1_000_000
