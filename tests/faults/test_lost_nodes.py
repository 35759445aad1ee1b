"""Nodes that are taken away, killed and given back under an elastic run."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from ray.cluster_utils import Cluster
from running import SMALL, environment, events, journal, program
from serving import MlflowServer

from service.training.retention import checkpoint_folders

# The micro-batches of two workers, or two of one worker: the same ones. Without evaluations and
# with a small, steady learning rate the losses can be compared over many steps.
OPTIONS = (
    *SMALL,
    "name=run",
    "training.duration=100000st",
    "training.evaluate_every=100000st",
    "training.log_every=1",
    "optimizer.lr=0.001",
    "checkpoint.every_minutes=null",
)
ELASTIC = (
    "cluster.num_workers=2",
    "cluster.min_workers=1",
    "cluster.resize_interval=20",
    "cluster.max_failures=1",
)

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(500)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster of two nodes of one core each."""
    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    running = MlflowServer(tmp_path)
    running.start()
    yield running
    running.kill()


@contextmanager
def driver(storage: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    line = [*program("imagenet"), f"storage.path={storage}", *OPTIONS, *options]
    with subprocess.Popen(
        line,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Run:
    """A run that goes on, as its journal tells it."""

    def __init__(self, process: subprocess.Popen[str], storage: Path) -> None:
        self.process = process
        self.storage = storage

    @property
    def workers(self) -> list[int]:
        """How many there were, at each logged step."""
        return [
            int(record.metrics["system/workers"])
            for record in journal(self.storage, "run")
            if "system/workers" in record.metrics
        ]

    def wait_for(self, workers: int, steps: int = 10) -> None:
        """Waits until so many workers have done so many new steps, one after the other."""
        first = len(self.workers)
        while self.workers[max(first, len(self.workers) - steps) :] != [workers] * steps:
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.1)


def drain(cluster: Cluster, node_id: str, seconds: int) -> None:
    """Does what a cloud's notice leads to."""
    line = [str(Path(sys.executable).with_name("ray")), "drain-node", "--address", cluster.address]
    line += ["--node-id", node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    line += ["--reason-message", "spot", "--deadline-remaining-seconds", str(seconds)]
    subprocess.run(line, check=True, capture_output=True, timeout=60)


def losses(storage: Path) -> dict[int, float]:
    rows = [r for r in journal(storage, "run") if "train/loss" in r.metrics]
    found = {record.step: record.metrics["train/loss"] for record in rows}
    assert [record.step for record in rows] == list(range(1, len(found) + 1))
    return found


def lose_and_give_back(run: Run, cluster: Cluster) -> tuple[int, int]:
    """Announces that a node goes, takes it, gives another one, and kills that.

    Returns:
        Steps recorded when the first was announced to go, and when the second came.
    """
    run.wait_for(2)
    leaving = cluster.worker_nodes.copy().pop()
    announced = len(run.workers)
    drain(cluster, leaving.node_id, 10)
    while not checkpoint_folders(run.storage / "run"):
        assert run.process.poll() is None
        time.sleep(0.1)
    assert set(run.workers) == {2}  # it is there before the node goes
    time.sleep(10)
    cluster.remove_node(leaving, allow_graceful=False)
    run.wait_for(1)
    joined = len(run.workers)
    cluster.add_node(num_cpus=1)
    run.wait_for(2)
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    run.wait_for(1)
    return announced, joined


@contextmanager
def twin_of_one_worker(storage: Path) -> Iterator["Run"]:
    """An undisturbed run with the same micro-batches, while the other one waits for nodes."""
    options = ("--local", "training.accumulation=2", "tracking.enabled=false")
    with driver(storage, *options) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, 15)
        yield Run(process, storage)


def losses_up_to(run: Run, steps: int) -> dict[int, float]:
    """Waits until a run has done so many steps and returns the losses."""
    while len(run.workers) < steps:
        assert run.process.poll() is None
        time.sleep(0.1)
    return losses(run.storage)


def test_a_run_goes_on_with_the_nodes_that_are_there(
    tmp_path: Path, cluster: Cluster, server: MlflowServer
) -> None:
    """A node is announced to go, goes, comes back, and is killed; one failure is allowed."""
    token = {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    storage = tmp_path / "runs"
    with (
        driver(
            storage,
            *ELASTIC,
            f"tracking.uri={server.uri}",
            RAY_ADDRESS=cluster.address,
            **token,
        ) as process,
        twin_of_one_worker(tmp_path / "twin") as twin,
    ):
        run = Run(process, storage)
        announced, joined = lose_and_give_back(run, cluster)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
        expected, found = losses_up_to(twin, len(run.workers)), losses(storage)
    assert process.returncode == 143, said
    assert "on 1 to 2 workers of 1 CPU each" in said
    told = events(storage, "run")
    assert sum("will be taken away in" in text for text in told) == 1
    restarts = re.findall(r"go on from the checkpoint of step (\d+)", " ".join(told))
    gone, grown, killed = map(int, restarts)
    assert gone >= announced  # saved when the node was announced to go
    assert grown >= joined  # and when it had come back
    assert killed >= grown
    assert sum(text.startswith("1 of 2 workers: the batch stays 32") for text in told) == 2
    assert [workers for workers, _ in groupby(run.workers)] == [2, 1, 2, 1]

    same = [abs(found[step] / expected[step] - 1) for step in found]
    others = [abs(found[step] / expected[step + 1] - 1) for step in list(found)[:-1]]
    # Sums in another order: differences begin at rounding and grow over hundreds of steps.
    assert max(same[:20]) < 1e-5
    assert max(same) < 0.25 * max(others)

    client = MlflowClient(server.uri)
    (recorded,) = client.search_runs(["1"])
    assert recorded.info.status == "KILLED"
    history = client.get_metric_history(recorded.info.run_id, "system/workers")
    assert [int(point.value) for point in history] == run.workers
