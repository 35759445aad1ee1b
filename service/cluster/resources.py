"""What each worker gets of what the cluster has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import Literal

from service.config.errors import ConfigurationError
from service.config.training import ClusterConfig


@dataclass(frozen=True)
class Node:
    """One machine of the cluster."""

    cpus: int
    """Cores that Ray may hand out."""
    gpus: int
    """GPUs that Ray may hand out."""


@dataclass(frozen=True)
class Plan:
    """The workers of a run and what each of them gets."""

    num_workers: int
    cpus_per_worker: int
    gpus_per_worker: float
    nodes: int
    """Machines of the cluster."""
    min_workers: int | None = None
    """Fewest workers with which the run goes on; None where their number is fixed."""

    @property
    def sizes(self) -> range:
        """Numbers of workers with which the run may train."""
        return range(self.min_workers or self.num_workers, self.num_workers + 1)


class TooLittleError(ConfigurationError):
    """The nodes that are there cannot hold the workers; with more of them the plan may come out.

    Args:
        text: The whole message.
        workers: How many there must be room for.
        bundle: What each of them gets, as Ray names it.
        has: What the cluster has.
    """

    def __init__(self, text: str, workers: int, bundle: dict[str, float], has: str) -> None:
        super().__init__(text)
        self.workers = workers
        self.bundle = bundle
        self.has = has


@dataclass(frozen=True)
class TrialPlan:
    """How the trials of a sweep share the cluster."""

    each: Plan
    """The workers of one trial."""
    concurrent: int
    """Trials at the same time, at least 1."""


def plan_trials(
    config: ClusterConfig,
    nodes: Sequence[Node],
    concurrent: Literal["auto"] | int,
    trials: int,
) -> TrialPlan:
    """Decides how many trials run at once and what the workers of each get.

    `auto` takes one worker for a trial, one GPU for a worker where there are GPUs, one core where
    there are none, and as many trials as fit.

    Args:
        config: What a trial asks for.
        nodes: The cluster.
        concurrent: Trials at the same time.
        trials: Trials in all.

    Raises:
        TooLittleError: Not one trial fits, or not as many as asked for.
        ConfigurationError: No number of nodes would do.
    """
    if config.num_workers == 0:
        raise ConfigurationError(
            "cluster.num_workers: a trial needs at least 1 worker; leave it at auto for 1"
        )
    if config.min_workers is not None:
        raise ConfigurationError(
            "cluster.min_workers: the trials of a sweep keep their number of workers; leave it at "
            "null"
        )
    workers = 1 if config.num_workers == "auto" else config.num_workers
    gpus = _gpus_per_worker(config, nodes)
    if workers > 1 and 0 < gpus < 1:
        raise ConfigurationError(
            f"cluster.gpus_per_worker: {gpus:g} of a GPU is for trials of one worker, because NCCL "
            "refuses two workers on one GPU; set cluster.num_workers=1 or cluster.gpus_per_worker=1"
        )
    lone = 1 if config.cpus_per_worker == "auto" else config.cpus_per_worker
    fitting = sum(_room(node, lone, gpus) for node in nodes) // workers
    count = max(1, min(fitting if concurrent == "auto" else concurrent, trials))
    if count > max(1, fitting):
        raise _too_many_trials(config, count, workers, gpus, nodes, fitting)
    together = config.model_copy(update={"num_workers": workers * count})
    return TrialPlan(replace(plan_workers(together, nodes), num_workers=workers), count)


def plan_workers(config: ClusterConfig, nodes: Sequence[Node]) -> Plan:
    """Decides workers, cores and GPUs; `auto` takes what there is.

    Without GPUs a node gets two workers, or one if it has one core: more processes on the same
    cores gain nothing over the threads of two. An elastic run may begin with fewer workers than it
    has when all nodes are there.

    Raises:
        TooLittleError: The cluster has too little; the message says what it has.
        ConfigurationError: No number of nodes would do.
    """
    gpus = _gpus_per_worker(config, nodes)
    workers = (
        sum(_natural_workers(node, gpus) for node in nodes)
        if config.num_workers == "auto"
        else config.num_workers
    )
    least = workers if config.min_workers is None else config.min_workers
    if config.cpus_per_worker == "auto":
        # Nodes that an elastic run still waits for have as many cores as those that are there.
        lone = sum(_room(node, 1, gpus) for node in nodes)
        cpus = _even_share(nodes, max(least, min(workers, lone)), gpus)
    else:
        cpus = config.cpus_per_worker
    room = sum(_room(node, cpus, gpus) for node in nodes)
    if workers < 1 or room < least:
        raise _shortage(config, least, cpus, gpus, nodes, room)
    if workers < least:
        raise ConfigurationError(
            f"cluster.min_workers: {least} exceeds the {workers} workers that cluster.num_workers="
            "auto makes here; set cluster.num_workers too"
        )
    return Plan(workers, cpus, gpus, len(nodes), config.min_workers)


def _gpus_per_worker(config: ClusterConfig, nodes: Sequence[Node]) -> float:
    if config.gpus_per_worker == "auto":
        return float(any(node.gpus for node in nodes))
    return float(config.gpus_per_worker)


def _natural_workers(node: Node, gpus: float) -> int:
    return node.gpus * floor(1 / gpus) if gpus else min(2, node.cpus)


def _even_share(nodes: Sequence[Node], workers: int, gpus: float) -> int:
    """Returns the most cores a worker can have so that all of them fit, at least 1."""
    most = max((node.cpus for node in nodes), default=1)
    fitting = (c for c in range(most, 0, -1) if sum(_room(n, c, gpus) for n in nodes) >= workers)
    return next(fitting, 1)


def _room(node: Node, cpus: int, gpus: float) -> int:
    by_cpus = node.cpus // cpus
    # A worker's share lies on one GPU.
    return min(by_cpus, node.gpus * floor(1 / gpus)) if gpus else by_cpus


def _bundle(config: ClusterConfig, gpus: float) -> dict[str, float]:
    """Returns what a worker needs at least: shares of cores are made where the nodes are known."""
    cpus = 1 if config.cpus_per_worker == "auto" else config.cpus_per_worker
    return {"CPU": float(cpus)} | ({"GPU": gpus} if gpus else {})


def _has(nodes: Sequence[Node]) -> str:
    return (
        f"{sum(n.cpus for n in nodes)} CPU and {sum(n.gpus for n in nodes)} GPU on "
        f"{len(nodes)} node{'s' * (len(nodes) != 1)}"
    )


def _too_many_trials(
    config: ClusterConfig,
    count: int,
    workers: int,
    gpus: float,
    nodes: Sequence[Node],
    fitting: int,
) -> TooLittleError:
    text = (
        f"sweep.concurrent_trials: {count} trials at the same time do not fit; the cluster has "
        f"room for {fitting}, of {workers} worker{'s' * (workers != 1)} each; leave it at "
        "auto, or lower it or what each worker gets"
    )
    return TooLittleError(text, workers * count, _bundle(config, gpus), _has(nodes))


def _shortage(
    config: ClusterConfig, workers: int, cpus: int, gpus: float, nodes: Sequence[Node], room: int
) -> TooLittleError:
    field = "cluster.num_workers" if config.min_workers is None else "cluster.min_workers"
    needs = f"{cpus} CPU" + (f" and {gpus:g} GPU" if gpus else "")
    text = (
        f"{field}: {workers} workers of {needs} each do not fit; the cluster has {_has(nodes)}, "
        f"room for {room}; lower {field} or what each worker gets"
    )
    # With auto there is no number as long as there is no node: the first one decides.
    return TooLittleError(text, max(1, workers), _bundle(config, gpus), _has(nodes))
