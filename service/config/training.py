"""The training loop, checkpoints, the cluster, tracking and storage."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from service.config.base import Config, NonNegativeInt, PositiveFloat, PositiveInt
from service.config.durations import Duration, DurationField
from service.config.optimization import AveragingConfig


class TrainingConfig(Config):
    """The loop."""

    duration: DurationField = Duration(90, "ep")
    """Length of the run: 90ep or 5000st."""
    batch_size: PositiveInt = 256
    """Samples of an optimiser step, over all workers and accumulation steps."""
    accumulation: PositiveInt = 1
    """Micro-batches whose gradients make one optimiser step."""
    clip_norm: PositiveFloat | None = None
    """Largest norm of the gradient; null for no clipping."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward pass; weights and optimiser stay fp32. auto: bf16 with
    channels_last where the workers' hardware is faster with it (NVIDIA GPUs from Ampere on,
    processors with AMX or AVX-512 BF16), else fp32; decided at the start of a run, which keeps it
    when it is resumed elsewhere."""
    channels_last: bool = False
    """Memory order of pictures and weights; faster on tensor cores."""
    compile: bool = False
    """Compile the network with torch.compile."""
    sync_batch_norm: bool = False
    """Normalise over the batches of all workers."""
    gradient_compression: Literal["none", "bf16"] = "none"
    """What workers send each other of a gradient: all of it, or bf16, half the bytes with 8 bits of
    precision; for workers whose network is slower than their GPUs."""
    evaluate_every: DurationField = Duration(1, "ep")
    """Interval of evaluation; the end of the run is always evaluated."""
    log_every: PositiveInt = 20
    """Optimiser steps between logged metrics; the only moments at which the host waits for the
    device."""
    max_skipped_steps: PositiveInt = 10
    """Steps in a row that may be skipped for a loss or gradient that is not finite."""
    average: AveragingConfig = AveragingConfig()
    """Moving average of the weights (EMA)."""
    deterministic: bool = False
    """Same bits for the same seed and number of workers; slower on a GPU."""
    seed: NonNegativeInt = 0
    """Seed of everything random in the run."""

    @field_validator("duration")
    @classmethod
    def _has_an_end(cls, duration: Duration) -> Duration:
        if duration.unit == "run" or duration.value == 0:
            raise ValueError(
                "the length of the run itself is above 0, in epochs or steps: 90ep, 5000st"
            )
        return duration


class CheckpointConfig(Config):
    """When checkpoints are written and which are kept. Each end of an epoch writes one."""

    every_steps: PositiveInt | None = None
    """Optimiser steps between checkpoints inside an epoch; null for none."""
    every_minutes: PositiveFloat | None = 15.0
    """Minutes between checkpoints inside an epoch; null for none."""
    metric: str = "val/top1"
    """Metric of the best checkpoints."""
    mode: Literal["max", "min"] = "max"
    """Whether a larger or a smaller metric is better."""
    keep: PositiveInt = 2
    """Best checkpoints that are kept, beside the last."""


class ClusterConfig(Config):
    """Workers and what each of them gets. `auto` takes what the cluster has."""

    address: str = "auto"
    """Ray cluster: auto joins the one this process runs on or starts one here."""
    num_workers: Literal["auto"] | NonNegativeInt = "auto"
    """Training processes; auto: one for each GPU, or two for each node without GPUs; 0: this
    process, without Ray."""
    min_workers: PositiveInt | None = None
    """Fewest workers with which the run goes on after a node is lost; it grows back when there is
    room. Batches and their order stay: fewer workers take more micro-batches each. Null keeps the
    number of workers fixed."""
    resize_interval: Annotated[float, Field(ge=20)] = 60.0
    """Seconds between looks at whether a run with fewer workers can grow; below 20 Ray acts on what
    it last saw of the cluster."""
    cpus_per_worker: Literal["auto"] | PositiveInt = "auto"
    """Cores of a worker; auto shares a node's cores evenly."""
    gpus_per_worker: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = "auto"
    """GPUs of a worker, at most 1; auto: 1 where the cluster has GPUs."""
    max_failures: Annotated[int, Field(ge=-1)] = 3
    """Times the run restarts after a lost worker; -1 for no bound."""
    start_timeout: PositiveFloat = 300.0
    """Seconds to wait for the workers' resources before the run ends with an error; an elastic run
    looks again every few seconds for how many there is room."""
    wait_for_nodes: PositiveFloat | None = None
    """Seconds to wait for nodes that an autoscaler has to start first, where those that are there
    cannot hold the workers; they are asked for meanwhile. Null: such a run is refused at once."""
    collective_timeout: PositiveFloat = 1800.0
    """Seconds a collective operation may take, or a worker stand still, until all write down where
    they are and start again."""

    @field_validator("min_workers")
    @classmethod
    def _at_most_all(cls, least: int | None, given: ValidationInfo) -> int | None:
        most = given.data.get("num_workers")
        # 0 is one process, without workers that could be lost.
        if least is not None and isinstance(most, int) and 0 < most < least:
            raise ValueError(f"must not exceed cluster.num_workers, which is {most}")
        return least


class TrackingConfig(Config):
    """MLflow."""

    enabled: bool = True
    """Record the run in MLflow."""
    uri: str = "auto"
    """Tracking server (http://…, https://…) or sqlite:////absolute/path; auto:
    MLFLOW_TRACKING_URI, or `mlflow.db` in the storage folder."""
    experiment: str = "imagenet"
    """Experiment that holds the run."""
    ship_every: PositiveFloat = 5.0
    """Seconds between deliveries of logged metrics."""
    system_metrics_every: PositiveFloat | None = 10.0
    """Seconds between samples of each node's CPU, memory, disk, network and GPU load; null for
    none."""


class StorageConfig(Config):
    """Where runs live."""

    path: str = "runs"
    """Folder of all runs, on a cluster of several nodes one that every node sees; or an address in
    an object store, such as s3://bucket/runs."""
    working_folder: str = "~/.cache/service/runs"
    """Folder in which each machine keeps its copy of runs whose storage is an object store."""


class ExpectedConfig(Config):
    """What a recipe should reach."""

    metric: str = "val/top1"
    """Metric at the end of the run, in percent."""
    value: float | Literal["unknown"]
    """Published figure, or unknown where nobody has published one."""
    tolerance: PositiveFloat | None = None
    """Largest difference that still counts as reproduced, in points."""
    source: str
    """Where the figure comes from."""
