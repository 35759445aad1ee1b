"""A run on Ray Train."""

from functools import partial

from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from service.cluster.fatal import forget, raise_kept
from service.cluster.job import Job
from service.cluster.ray_worker import train_on_worker
from service.cluster.resources import Plan


def run_on_ray(job: Job, plan: Plan) -> None:
    """Trains on the cluster and returns when the run has ended.

    Ray restarts lost workers from the last checkpoint; a run of the same name goes on from there.

    Args:
        job: The run.
        plan: Workers and what each gets.

    Raises:
        ray.train.TrainingFailedError: The run failed more often than the configuration allows.
        ConfigurationError: Something cannot be used, as only the workers could find out.
        NonFiniteError: Loss or gradients stayed without finite values.
    """
    cluster, checkpoint = job.config.cluster, job.config.checkpoint
    resources = {"CPU": float(plan.cpus_per_worker)}
    if plan.gpus_per_worker:
        resources["GPU"] = plan.gpus_per_worker
    trainer = TorchTrainer(
        partial(train_on_worker, job, plan.cpus_per_worker),
        torch_config=TorchConfig(timeout_s=int(cluster.collective_timeout)),
        scaling_config=ScalingConfig(
            num_workers=plan.num_workers,
            use_gpu=bool(plan.gpus_per_worker),
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name=job.name,
            storage_path=str(job.storage),
            # A group that cannot start would otherwise be tried again for ever.
            failure_config=FailureConfig(
                max_failures=cluster.max_failures,
                controller_failure_limit=3,  # type: ignore[call-arg]  # the type is V1's
            ),
            checkpoint_config=CheckpointConfig(
                num_to_keep=checkpoint.keep,
                checkpoint_score_attribute=checkpoint.metric,
                checkpoint_score_order=checkpoint.mode,
            ),
        ),
    )
    forget(job.folder)
    trainer.fit()
    raise_kept(job.folder)
