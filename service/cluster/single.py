"""A run in this process, without Ray."""

import os

import torch

from service.cluster.job import Job, stop_file
from service.cluster.recording import Recorder
from service.training.local import LocalWorker
from service.training.loop import train


def run_here(job: Job) -> None:
    """Trains in this process and returns when the run has ended.

    Args:
        job: The run.
    """
    with Recorder(job, leads_run=True, node=0) as recorder:
        worker = LocalWorker(
            job.folder,
            torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu"),
            len(os.sched_getaffinity(0)),
            job.config.checkpoint,
            recorder.log,
            recorder.attach,
            recorder.warn,
            stop_file(job.folder).exists,
            recorder.settle,
        )
        train(job.application.build_task(job.config, job.storage, worker), worker, job.settings)
