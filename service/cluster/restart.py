"""What a restart of the workers cost: the steps done again, and the time without new figures."""

import time
from contextlib import suppress
from pathlib import Path

from service.cluster.fatal import reason_of_restart
from service.cluster.job import Job
from service.cluster.watchdog import STACKS, stack_files
from service.storage.working_copy import bring_all, told
from service.tracking.journal import METRICS_JOURNAL
from service.tracking.records import MetricRecord, scan_records

RECOVERY = "time/recovery_seconds"
"""Seconds from the last figures before a restart to the first new ones."""


class Restart:
    """Watches for the first new figures of a run that goes on; rank 0's alone.

    Args:
        job: The run.
    """

    def __init__(self, job: Job) -> None:
        self._folder = job.folder
        self._before: MetricRecord | None = None
        self._resumed: int | None = None
        for record, _ in scan_records(job.folder / METRICS_JOURNAL, 0):
            if isinstance(record, MetricRecord) and _of_this_driver(record, job):
                self._before = record

    @property
    def is_one(self) -> bool:
        """Whether the run's driver has seen a step before."""
        return self._before is not None

    def goes_on_from(self, checkpoint: Path | None) -> str | None:
        """Returns what is to be said of the checkpoint that the workers go on from, if anything.

        Args:
            checkpoint: Its folder; None if there is none.
        """
        if self._before is None:
            return None
        step = 0 if checkpoint is None else int(checkpoint.name.removeprefix("step_"))
        self._resumed = step
        where = "the start" if checkpoint is None else f"the checkpoint of step {step}"
        again = max(self._before.step - step, 0)
        reason = reason_of_restart(self._folder)
        why = f" ({reason})" if reason else ""
        return (
            f"the workers were started again{why} and go on from {where}; {again} steps are done "
            f"again{self._hung(self._before)}"
        )

    def _hung(self, before: MetricRecord) -> str:
        """Tells where the stacks are if workers hung since their last figures."""
        with suppress(OSError):
            bring_all(self._folder / STACKS)
        for file in stack_files(self._folder):
            if 1000 * file.stat().st_mtime > before.time:
                return f"; where each worker hung: {told(file.parent)}"
        return ""

    def figures(self, step: int) -> dict[str, float]:
        """Returns, once, the time it took to come to a step that was not done before.

        Args:
            step: Optimiser steps done.
        """
        if self._before is None or self._resumed is None or step <= self._before.step:
            return {}
        seconds = time.time() - self._before.time / 1000
        self._before = None
        return {RECOVERY: seconds}


def _of_this_driver(record: MetricRecord, job: Job) -> bool:
    """Tells whether workers of the same driver made a step before: it is a restart then."""
    return record.step > 0 and record.time >= 1000 * job.began
