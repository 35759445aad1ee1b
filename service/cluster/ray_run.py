"""A run on Ray Train."""

from functools import partial
from math import ceil

from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError

from service.cluster.devices import Workers
from service.cluster.entry import begin
from service.cluster.fatal import AfterFailure, forget, raise_kept
from service.cluster.job import Job
from service.cluster.resources import Plan
from service.cluster.session import start_patience
from service.cluster.trainer import Trainer
from service.config.training import ClusterConfig

_STARTS = 3
_RAYS_RECORD = "checkpoint_manager_snapshot.json"


def run_on_ray(job: Job, plan: Plan, *, lone: bool) -> None:
    """Trains on the cluster and returns when the run has ended.

    Ray starts lost workers again; they find the run's last checkpoint themselves. Ray keeps no
    record of checkpoints: its own is written in place, and a damaged one ends a run.

    Args:
        job: The run.
        plan: Workers and what each gets.
        lone: Whether the cluster was started for this run, and ends with it.

    Raises:
        ray.train.TrainingFailedError: The run failed more often than the configuration allows.
        ConfigurationError: Something cannot be used, as only the workers could find out.
        RunError: The run cannot go on, as a restart would not change.
    """
    cluster = job.config.cluster
    resources = {"CPU": float(plan.cpus_per_worker)}
    if plan.gpus_per_worker:
        resources["GPU"] = plan.gpus_per_worker
    trainer = Trainer(
        partial(begin, job, plan),
        lone=lone,
        backend_config=Workers(),
        scaling_config=ScalingConfig(
            num_workers=_workers(plan),  # type: ignore[arg-type]  # the types are V1's
            elastic_resize_monitor_interval_s=cluster.resize_interval,  # type: ignore[call-arg]
            use_gpu=bool(plan.gpus_per_worker),
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name=job.name,
            storage_path=str(job.storage),
            # A group that cannot start would otherwise be tried again for ever.
            failure_config=FailureConfig(
                max_failures=cluster.max_failures,
                controller_failure_limit=_starts(cluster),  # type: ignore[call-arg]  # the type is V1's
            ),
            callbacks=[AfterFailure(job.folder)],  # type: ignore[list-item]  # the type is V1's
        ),
    )
    forget(job.folder)
    # Runs of earlier versions have one; a damaged one would end the run, an old one mislead Ray.
    (job.folder / _RAYS_RECORD).unlink(missing_ok=True)
    try:
        trainer.fit()
    except TrainingFailedError:
        raise_kept(job.folder)
        raise


def _workers(plan: Plan) -> int | tuple[int, int]:
    return plan.num_workers if plan.min_workers is None else (plan.min_workers, plan.num_workers)


def _starts(cluster: ClusterConfig) -> int:
    """Returns how often in a run the workers' resources may not be there in time; -1: no bound.

    Each try of an elastic run is short, and after a lost node one or two are in vain.
    """
    if cluster.min_workers is None:
        return _STARTS
    if cluster.max_failures == -1:
        return -1
    return ceil(_STARTS * cluster.start_timeout / start_patience(cluster))
