"""A worker of a Ray Train run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ray.train
import ray.train.collective
import torch

from service.cluster.collection import resume_collection
from service.cluster.fatal import no_restart
from service.cluster.growth import Growth
from service.cluster.job import Job, stop_file
from service.cluster.preemption import Preemption
from service.cluster.process_group import device_of, process_group
from service.cluster.recording import Recorder
from service.cluster.resources import Plan
from service.cluster.restart import Restart
from service.cluster.steering import Steering
from service.cluster.turns import written_turns
from service.cluster.watchdog import MARGIN, Watchdog
from service.config.errors import RunError
from service.config.run import RunConfig
from service.storage.working_copy import place_of
from service.training.checkpoint import CheckpointContent, newest_valid, read_stored
from service.training.length import micro_batches
from service.training.loop import train
from service.training.manifest import DamagedCheckpoint
from service.training.retention import checkpoint_folders
from service.training.run_checkpoints import RunCheckpoints
from service.training.stored_checkpoints import keep_only
from service.training.turn import Turn
from service.training.worker import Worker


def train_on_worker(job: Job, plan: Plan) -> None:
    """Trains as one of the workers.

    Args:
        job: The run.
        plan: All workers, some of which may be missing, and what each gets.
    """
    torch.set_num_threads(plan.cpus_per_worker)
    if job.start_up is not None:
        job = replace(job, start_up=job.start_up.after("their imports"))
    context = ray.train.get_context()
    leads_run = context.get_world_rank() == 0
    node = context.get_node_rank() if context.get_local_rank() == 0 else None
    device = device_of(plan.gpus_per_worker)
    timeout = job.config.cluster.collective_timeout + MARGIN
    steering = _steering(job) if job.steered else None
    if steering is not None and steering.latest is not None:
        job = replace(job, config=steering.latest.config)
    with (
        no_restart(job.folder),
        Watchdog(job, context.get_world_rank()) as watchdog,
        Recorder(job, leads_run=leads_run, node=node) as recorder,
        process_group(device, timeout),
    ):
        worker = RayWorker(job, plan, device, recorder, watchdog, steering)
        divided = _divided(job.config, plan, worker)
        task = job.application.build_task(divided, job.storage, worker)
        # Checkpoints keep the configuration as it was given.
        train(task, worker, replace(job.settings, training=divided.training))


def _divided(config: RunConfig, plan: Plan, worker: Worker) -> RunConfig:
    """Returns the configuration with which the workers that are there do the steps of all."""
    present = worker.world_size
    if present == plan.num_workers:
        return config
    parts = micro_batches(config.training.accumulation, plan.num_workers, present)
    worker.warn(
        f"{present} of {plan.num_workers} workers: the batch stays {config.training.batch_size} "
        f"samples, in {parts} micro-batches on each worker; the run grows when there is room"
    )
    training = config.training.model_copy(update={"accumulation": parts})
    return config.model_copy(update={"training": training})


def _steering(job: Job) -> Steering:
    # A turn may be written just now: all workers count those that rank 0 sees.
    known = ray.train.collective.broadcast_from_rank_zero(written_turns(job.folder))
    return Steering(job.folder, type(job.config), known)


class RayWorker:
    """See `service.training.worker.Worker`.

    Args:
        job: The run.
        plan: All workers, some of which may be missing, and what each gets.
        device: Where the network lives.
        recorder: Where metrics, files and warnings go.
        watchdog: What ends it if it hangs.
        steering: The run's turns, if it is steered.
    """

    def __init__(
        self,
        job: Job,
        plan: Plan,
        device: torch.device,
        recorder: Recorder,
        watchdog: Watchdog,
        steering: Steering | None,
    ) -> None:
        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self.device = device
        self.cpus = plan.cpus_per_worker
        self.attach = recorder.attach
        self.warn = recorder.warn
        self._event = recorder.event
        self._watchdog = watchdog
        self._job = job
        self._log = recorder.log
        self._restart = Restart(job) if self.rank == 0 else None
        # Ended by the first step, unless there was one before.
        again = self._restart is None or self._restart.is_one
        self._start_up = None if again or job.start_up is None else job.start_up.after("meeting")
        self._steering = steering
        self._preemption = Preemption(recorder.warn)
        missing = self.rank == 0 and self.world_size < plan.num_workers
        self._growth = Growth(job.config.cluster.resize_interval) if missing else None
        self._checkpoints = RunCheckpoints(
            job.folder, job.config.checkpoint, recorder.warn, recorder.settle
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records metrics of a step, and after a restart what it cost."""
        recovery = {} if self._restart is None else self._restart.figures(step)
        self._log(step, {**metrics, **recovery})

    def moved_on(self) -> None:
        """Tells the watchdog; the first time, people read what the start took."""
        resume_collection()
        self._watchdog.moved_on()
        if self._start_up is not None:
            took, self._start_up = self._start_up.after("network and step"), None
            self._event("start", f"first step after {took}")

    def save(self, step: int, checkpoint: CheckpointContent | None) -> None:
        """Writes a checkpoint beside training; Ray knows nothing of it, and need not."""
        if checkpoint is None:
            return
        if self._steering is not None:
            checkpoint = self._steering.stamped(checkpoint)
        self._checkpoints.write(step, checkpoint)

    def latest_checkpoint(self) -> CheckpointContent | None:
        """Returns the newest undamaged checkpoint that rank 0 finds, or None at the start.

        Raises:
            RunError: Rank 0's storage is not this worker's.
        """
        found = self._newest() if self.rank == 0 else None
        told = found and (str(self._job.storage), str(found[0]))
        told = ray.train.collective.broadcast_from_rank_zero(told)
        if told is None:
            return None
        return found[1] if found else self._read(*map(Path, told))

    def turn(self, step: int) -> Turn:
        """Waits for the driver's answer, if the run is steered."""
        if self._steering is None:
            return "go_on"
        with self._watchdog.paused():
            return self._steering.wait(step)

    def stop_requested(self) -> bool:
        """Tells whether the driver asked the run to end."""
        return stop_file(self._job.folder).exists()

    def save_requested(self) -> bool:
        """Tells whether Ray is about to start the workers again, as far as one can know."""
        # The first is a question of all workers together.
        announced = self._preemption.save_requested()
        return announced or (self._growth is not None and self._growth.save_requested())

    def finish(self) -> None:
        """Waits until the last checkpoint is written."""
        if self.rank == 0:
            self._checkpoints.wait()

    def _newest(self) -> tuple[Path, CheckpointContent] | None:
        """Returns the checkpoint from which the run goes on, with its folder."""
        folders = checkpoint_folders(self._job.folder)
        if self._steering is not None:
            folders = self._steering.resumption(folders)
        content, complaints = newest_valid(folders, read_stored)
        for complaint in complaints:
            self.warn(f"{complaint}; using the checkpoint before it")
        newest = None if content is None else folders[len(complaints)]
        said = self._restart.goes_on_from(newest) if self._restart else None
        if said is not None:
            self.warn(said)
        return None if newest is None or content is None else (newest, content)

    def _read(self, storage: Path, folder: Path) -> CheckpointContent:
        """Returns a checkpoint that rank 0 has read, below its folder of all runs."""
        if folder.is_relative_to(storage):
            folder = self._job.storage / folder.relative_to(storage)
        if place_of(folder) is not None and not folder.exists():
            # Another machine keeps the run's checkpoints; this one needs no more than the last.
            keep_only(folder)
        try:
            return read_stored(folder)
        except DamagedCheckpoint as damage:
            raise RunError(
                f"storage.path: worker {self.rank} on another node does not see the checkpoint "
                f"that worker 0 goes on from ({damage}); give a folder that all nodes share"
            ) from damage
