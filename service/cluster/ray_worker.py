"""A worker of a Ray Train run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ray.train
import ray.train.collective
import ray.train.torch
import torch
from ray.train import Checkpoint, CheckpointConsistencyMode, CheckpointUploadMode

from service.cluster.fatal import no_restart
from service.cluster.job import Job, stop_file
from service.cluster.recording import Recorder
from service.cluster.steering import Steering
from service.cluster.turns import written_turns
from service.training.checkpoint import CheckpointContent, newest_valid, write_checkpoint
from service.training.loop import train
from service.training.retention import checkpoint_folder, checkpoint_folders
from service.training.turn import Turn


def train_on_worker(job: Job, cpus: int) -> None:
    """Trains as one of the workers; Ray calls this in each of them.

    Args:
        job: The run.
        cpus: Cores of this worker.
    """
    torch.set_num_threads(cpus)
    context = ray.train.get_context()
    leads_run, leads_node = context.get_world_rank() == 0, context.get_local_rank() == 0
    steering = _steering(job) if job.steered else None
    if steering is not None and steering.latest is not None:
        job = replace(job, config=steering.latest.config)
    with (
        no_restart(job.folder),
        Recorder(job, leads_run=leads_run, leads_node=leads_node) as recorder,
    ):
        worker = RayWorker(job, cpus, recorder, steering)
        task = job.application.build_task(job.config, job.storage, worker)
        train(task, worker, job.settings)


def _steering(job: Job) -> Steering:
    # A turn may be written just now: all workers count those that rank 0 sees.
    known = ray.train.collective.broadcast_from_rank_zero(written_turns(job.folder))
    return Steering(job.folder, type(job.config), known)


class RayWorker:
    """See `service.training.worker.Worker`.

    Args:
        job: The run.
        cpus: Cores of this worker.
        recorder: Where metrics, files and warnings go.
        steering: The run's turns, if it is steered.
    """

    def __init__(self, job: Job, cpus: int, recorder: Recorder, steering: Steering | None) -> None:
        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self.device: torch.device = ray.train.torch.get_device()
        self.cpus = cpus
        self.log = recorder.log
        self.attach = recorder.attach
        self.warn = recorder.warn
        self._job = job
        self._steering = steering

    def report(
        self, step: int, metrics: Mapping[str, float], checkpoint: CheckpointContent | None
    ) -> None:
        """Hands a checkpoint to Ray, whose upload thread writes it into the run's folder."""
        folder = checkpoint_folder(self._job.folder, step)
        if checkpoint is not None and self._steering is not None:
            checkpoint = self._steering.stamped(checkpoint)

        def write(reported: Checkpoint, _name: str) -> Checkpoint:
            if checkpoint is not None:
                write_checkpoint(folder, checkpoint)
            return reported

        ray.train.report(
            dict(metrics),
            checkpoint=Checkpoint(str(folder)) if checkpoint is not None else None,
            checkpoint_dir_name=folder.name,
            checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
            delete_local_checkpoint_after_upload=False,
            checkpoint_upload_fn=write,
        )

    def latest_checkpoint(self) -> CheckpointContent | None:
        """Returns the newest undamaged checkpoint of the run, or None at the start."""
        content, complaints = newest_valid(self._resumption())
        for complaint in complaints:
            self.warn(f"{complaint}; using the checkpoint before it")
        return content

    def turn(self, step: int) -> Turn:
        """Waits for the driver's answer, if the run is steered."""
        return "go_on" if self._steering is None else self._steering.wait(step)

    def stop_requested(self) -> bool:
        """Tells whether the driver asked the run to end."""
        return stop_file(self._job.folder).exists()

    def finish(self) -> None:
        """Waits until Ray has committed the last checkpoint: a report alone is not yet one."""
        ray.train.get_all_reported_checkpoints(consistency_mode=CheckpointConsistencyMode.COMMITTED)

    def _resumption(self) -> list[Path]:
        """Returns the checkpoints from which the run may go on, newest first."""
        folders = checkpoint_folders(self._job.folder)
        if self._steering is not None:
            return self._steering.resumption(folders)
        latest = ray.train.get_checkpoint()
        if latest is None:
            # Ray may have lost its record of the run.
            return folders
        newest = Path(latest.path)
        return [newest, *(folder for folder in folders if folder.name < newest.name)]
