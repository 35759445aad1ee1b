"""What MLflow is told of a run: that it starts, how it ended, and early that it is to end."""

import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

from service.cluster.console import announce
from service.cluster.job import Job, stop_file
from service.cluster.run_copy import gathered
from service.storage.working_copy import publish, told
from service.tracking.address import reachable, redact
from service.tracking.opening import Opening
from service.tracking.runs import Status
from service.tracking.tracker import close_ahead, end_run
from service.training.retention import best_checkpoint

STOPPED = "asked to stop"
"""Why a run ended that was."""


def start_tracking(job: Job) -> Opening | None:
    """Begins to open the run in MLflow; None if nothing is recorded there, or nothing answers."""
    if job.request is None:
        return None
    problem = reachable(job.request.uri)
    if problem is None:
        return Opening(job.folder, job.request)
    announce(
        f"warning: MLflow at {redact(job.request.uri)} does not answer ({problem}); training goes "
        f"on, metrics are kept in {job.folder} and delivered when it does"
    )
    return None


def best_of(job: Job) -> Path | None:
    """Returns the run's best checkpoint."""
    retention = job.config.checkpoint
    return best_checkpoint(job.folder, retention.metric, retention.mode)


def end_tracking(job: Job, opening: Opening | None, status: Status, reason: str | None) -> None:
    """Delivers what is left and closes the run, or says what could not be delivered.

    Args:
        job: The run.
        opening: What `start_tracking` returned.
        status: How it ended.
        reason: Why it ended so, in one line.
    """
    with gathered(job) as keep:
        if job.request is None:
            return
        best, started = best_of(job), opening.started() if opening else None
        tags = {"checkpoint": told(best)} if best else {}
        problem = end_run(
            job.folder,
            job.request,
            status,
            run_id=started.run_id if started else None,
            reason=reason,
            tags=tags,
            keep=keep,
        )
        if problem is not None:
            announce(f"warning: {problem}")


def ask_to_stop(job: Job, opening: Opening | None) -> None:
    """Lets the workers save and end, and closes the run in MLflow at once.

    `ray job stop` kills this process after three seconds, before the workers have ended.
    """
    stop_file(job.folder).touch()
    telling = partial(_tell_of_the_stop, job, opening)
    threading.Thread(target=telling, name="stopping", daemon=True).start()


def _tell_of_the_stop(job: Job, opening: Opening | None) -> None:
    # Where it fails for the moment, the driver's mirror tries again.
    with suppress(OSError):
        publish(stop_file(job.folder))
    started = opening.started() if opening else None
    if job.request is not None and started is not None:
        close_ahead(job.request, started.run_id, "KILLED", STOPPED)
