"""Runs on a cluster whose nodes an autoscaler has yet to start."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
import running
from mlflow.tracking import MlflowClient
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID
from serving import MlflowServer, free_port

from service.cluster.arrival import planned
from service.cluster.resources import Node, TooLittleError, plan_workers
from service.cluster.session import Cluster
from service.config.errors import ConfigurationError
from service.config.training import ClusterConfig

HEAD = Node(cpus=0, gpus=0)


def never() -> None:
    pytest.fail("nothing is waited for")


def test_without_a_wait_too_little_is_refused_with_a_hint() -> None:
    config = ClusterConfig(num_workers=4, gpus_per_worker=1)
    with pytest.raises(ConfigurationError) as caught:
        planned(config, Cluster([HEAD], ours=False), partial(plan_workers, config), never)
    assert str(caught.value) == (
        "cluster.num_workers: 4 workers of 1 CPU and 1 GPU each do not fit; the cluster has 0 CPU "
        "and 0 GPU on 1 node, room for 0; lower cluster.num_workers or what each worker gets, or "
        "wait for an autoscaler's nodes with cluster.wait_for_nodes=900"
    )


def test_nobody_waits_for_nodes_of_a_cluster_of_ones_own() -> None:
    config = ClusterConfig(num_workers=4, wait_for_nodes=900)
    with pytest.raises(TooLittleError, match=r"what each worker gets$"):
        planned(config, Cluster([Node(2, 0)], ours=True), partial(plan_workers, config), never)


def test_what_several_nodes_would_be_refused_for_is_said_before_the_wait() -> None:
    def refused() -> None:
        raise ConfigurationError("tracking.uri: is a file")

    config = ClusterConfig(num_workers=4, wait_for_nodes=900)
    with pytest.raises(ConfigurationError, match=r"^tracking\.uri: "):
        planned(config, Cluster([HEAD], ours=False), partial(plan_workers, config), refused)


AUTOSCALER = {
    "cluster_name": "grows",
    "max_workers": 2,
    "idle_timeout_minutes": 5,
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "small": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
    },
    "head_node_type": "ray.head.default",
    "upscaling_speed": 1.0,
}
"""Ray's own, that starts nodes on this machine: at most two, of one core each."""


@pytest.fixture
def address() -> Iterator[str]:
    """A cluster of a head without cores, whose autoscaler starts nodes when asked."""
    # Ray's sockets need a short path.
    folder = Path(tempfile.mkdtemp(prefix="grows-"))
    found = f"127.0.0.1:{free_port()}"
    module = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
    provider = {
        "type": "external",
        "module": module,
        "gcs_address": found,
        "launch_multiple": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    config = folder / "autoscaler.json"
    config.write_text(json.dumps(AUTOSCALER | {"provider": provider}))
    line = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    line += ["--node-ip-address=127.0.0.1", f"--port={found.rpartition(':')[2]}", "--num-cpus=0"]
    line += ["--include-dashboard=false", f"--autoscaling-config={config}"]
    with (folder / "head.log").open("wb") as log:
        head = psutil.Popen(
            line,
            env=running.environment(
                RAY_TMPDIR=str(folder),
                RAY_FAKE_CLUSTER="1",
                RAY_enable_autoscaler_v2="1",
                RAY_CLOUD_INSTANCE_ID=FAKE_HEAD_NODE_ID,
                RAY_OVERRIDE_NODE_ID_FOR_TESTING=FAKE_HEAD_NODE_ID,
                AUTOSCALER_UPDATE_INTERVAL_S="1",
                **_token(),
            ),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield found
    finally:
        _end(head)
        shutil.rmtree(folder, ignore_errors=True)


def _token() -> dict[str, str]:
    return {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}


def _end(process: psutil.Popen) -> None:
    """Ends a process and all that it started."""
    family = [*process.children(recursive=True), process]
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=15)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    running_server = MlflowServer(tmp_path)
    running_server.start()
    yield running_server
    running_server.kill()


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_run_brings_its_nodes_up_and_one_that_asks_too_much_gives_up(
    tmp_path: Path, address: str, server: MlflowServer
) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        line = [*running.program("imagenet"), *running.SMALL, f"storage.path={tmp_path / 'runs'}"]
        place = (f"tracking.uri={server.uri}", f"cluster.address={address}", "name=run")
        return running.run([*line, *place, "training.duration=1ep", *options], _token())

    refused = run("cluster.num_workers=3", "cluster.wait_for_nodes=5")
    assert refused.returncode == 2, refused.stdout
    (line,) = refused.stderr.splitlines()
    assert line.startswith("error: cluster.num_workers: 3 workers of 1 CPU each do not fit; ")
    assert line.endswith("; not enough came in the 5 s of cluster.wait_for_nodes")
    assert not (tmp_path / "runs" / "run" / "config.yaml").exists()

    done = run("cluster.num_workers=2", "cluster.wait_for_nodes=120")
    assert done.returncode == 0, done.stdout + done.stderr
    waiting = "waiting up to 2 min 00 s for nodes with room for 2 workers of 1 CPU; the cluster has"
    assert done.stdout.count(f"{waiting} 0 CPU and 0 GPU on 1 node") == 1
    assert re.search(r"the nodes are there after \d+ s", done.stdout)
    assert "on 2 workers of 1 CPU each" in done.stdout
    (recorded,) = MlflowClient(server.uri).search_runs(["1"])
    assert recorded.info.status == "FINISHED"
