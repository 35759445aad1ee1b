"""Where a worker begins. Ray takes it by its name: neither driver nor controller imports torch."""

from dataclasses import replace

from service.cluster.collection import collection_paused
from service.cluster.job import Job
from service.cluster.resources import Plan


def begin(job: Job, plan: Plan) -> None:
    """Trains as one of the workers; Ray calls this in each of them.

    Args:
        job: The run.
        plan: All workers, some of which may be missing, and what each gets.
    """
    if job.start_up is not None:
        job = replace(job, start_up=job.start_up.after("workers"))
    with collection_paused():  # until the first step
        from service.cluster.ray_worker import train_on_worker

        train_on_worker(job.here(), plan)
