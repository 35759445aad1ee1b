"""A training run that goes on in a thread, read through its journal."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.cluster import runs
from service.cluster.job import Job, stop_file
from service.cluster.ray_run import run_on_ray
from service.cluster.resources import Plan
from service.cluster.run_copy import begin_copy, drivers_mirror
from service.storage.working_copy import withdraw
from service.tracking.journal import METRICS_JOURNAL
from service.tracking.records import JournalReader, MetricRecord

_LOOK_EVERY = 0.1  # seconds


def live_file(folder: Path) -> Path:
    """Returns the file that exists while a run has workers, or until its actor is killed."""
    return folder / "live"


@dataclass(frozen=True)
class Evaluation:
    """What a trial reports."""

    step: int
    """Optimiser steps done."""
    epoch: float
    """Epochs done."""
    value: float
    """The searched metric; NaN where it is not finite."""
    seconds: float
    """Seconds of training until then, over all restarts, without evaluation and start-up."""
    first_step_at: float
    """When this session's first step began, seconds since 1970; NaN if it is not known yet."""
    complete: bool
    """Whether it is the run's last."""


class LiveRun:
    """A run of Ray Train in a thread of its own.

    Args:
        job: The run.
        plan: Its workers.
        metric: Metric of the evaluations.
        known: Epochs whose evaluations were read before; those after them are returned, even if an
            earlier process recorded them.
    """

    def __init__(self, job: Job, plan: Plan, metric: str, known: float) -> None:
        self._job = job
        self._plan = plan
        self._metric = metric
        self._known = known
        self._reader = JournalReader(job.folder / METRICS_JOURNAL)
        self._waiting: deque[Evaluation] = deque()
        self._step = 0
        self._seconds = 0.0
        self._began = time.time()
        self._first_step_at = math.nan
        self._error: BaseException | None = None
        begin_copy(job.folder)
        runs.record(job.folder, job.config)
        withdraw(stop_file(job.folder))
        live_file(job.folder).touch()
        self._thread = threading.Thread(target=self._train, name=job.name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still trains."""
        return self._thread.is_alive()

    def next_evaluation(self) -> Evaluation | None:
        """Waits for the next evaluation; None if the run ended without one.

        Raises:
            Exception: What ended the run.
        """
        while not self._waiting:
            alive = self.alive
            self._read()
            if not alive and not self._waiting:
                self.wait()
                return None
            if not self._waiting:
                time.sleep(_LOOK_EVERY)
        return self._waiting.popleft()

    def wait(self) -> None:
        """Waits for the end of the run, when its workers are gone.

        Raises:
            Exception: What ended the run.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self, patience: float, refuse: Callable[[int], None] | None) -> None:
        """Asks the run to save and end, and waits until its workers are gone.

        Args:
            patience: Longest wait in seconds.
            refuse: Called with the step of each evaluation meanwhile, where a steered run waits.

        Raises:
            TimeoutError: It did not end in time.
        """
        stop_file(self._job.folder).touch()
        until = time.monotonic() + patience
        while self.alive and time.monotonic() < until:
            self._thread.join(_LOOK_EVERY)
            self._read()
            while self._waiting and refuse is not None:
                refuse(self._waiting.popleft().step)
        if self.alive:
            raise TimeoutError(f"{self._job.name} did not stop within {patience:g} s")

    def _train(self) -> None:
        try:
            with drivers_mirror(self._job, alone=self._plan.nodes == 1):
                run_on_ray(self._job, self._plan, lone=False)
        except BaseException as error:
            # Raised in the thread that asks for the next evaluation.
            self._error = error
        finally:
            live_file(self._job.folder).unlink(missing_ok=True)

    def _read(self) -> None:
        for record in self._reader.new_records():
            if isinstance(record, MetricRecord):
                self._count(record)
                if self._metric in record.metrics:
                    self._evaluated(record)

    def _count(self, record: MetricRecord) -> None:
        if "time/step_seconds" not in record.metrics:
            return
        interval = record.metrics["time/step_seconds"] * (record.step - self._step)
        self._seconds += interval
        self._step = record.step
        at = record.time / 1000
        if math.isnan(self._first_step_at) and at > self._began:
            self._first_step_at = at - interval

    def _evaluated(self, record: MetricRecord) -> None:
        epoch = self._job.length.epoch(record.step)
        if epoch <= self._known:
            return
        self._known = epoch
        value = record.metrics[self._metric]
        self._waiting.append(
            Evaluation(
                record.step,
                epoch,
                value if math.isfinite(value) else math.nan,
                self._seconds,
                self._first_step_at,
                record.step >= self._job.length.steps,
            )
        )
