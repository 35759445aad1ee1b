"""Metrics on their way to the journal: what a step hands over, and the thread that writes it.

To write a line takes some microseconds in a loop of its own. Between two steps of training it takes
twenty times as long, because the step has pushed everything else out of the processor's caches. So
the step only puts its metrics down, and a thread writes them while the next one computes.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from service.tracking.journal import Journal
from service.tracking.names import check_metric_name

EVERY = 0.05
"""Seconds between looks at what waits. A process that is killed has written all but the last."""


class _Waiting(NamedTuple):
    step: int
    time: int
    metrics: dict[str, float]


class WaitingMetrics:
    """Takes metrics without waiting for the storage, and writes them in order soon after.

    What the storage refuses is raised by the next call.

    Args:
        journal: Where they are written.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: deque[_Waiting] = deque()
        self._known: set[str] = set()
        self._lock = threading.Lock()
        self._error: OSError | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def put(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes metrics of a step, with the time of now.

        Args:
            step: Optimiser step, at least 0.
            metrics: Value by name.

        Raises:
            ValueError: The step is negative or MLflow would refuse a name.
            OSError: Earlier metrics could not be written.
        """
        if step < 0:
            raise ValueError(f"step must be at least 0 (got {step})")
        if self._error is not None:
            self._raise()
        if not metrics.keys() <= self._known:
            for name in metrics:
                check_metric_name(name)
            self._known.update(metrics)
        self._waiting.append(_Waiting(step, time.time_ns() // 1_000_000, dict(metrics)))

    def drain(self) -> None:
        """Writes what waits.

        Raises:
            OSError: The storage refuses.
        """
        self._write()
        self._raise()

    def close(self) -> None:
        """Writes what waits and ends the thread.

        Raises:
            OSError: The storage refuses.
        """
        self._closing.set()
        self._thread.join()
        self.drain()

    def _run(self) -> None:
        while not self._closing.wait(EVERY):
            if self._waiting:
                self._write()

    def _write(self) -> None:
        with self._lock:
            while self._waiting:
                one = self._waiting.popleft()
                try:
                    self._journal.write(one.step, one.metrics, one.time)
                except OSError as error:
                    self._error = error

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
