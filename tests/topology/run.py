"""Runs what docker/compose.yaml describes on this machine, without containers, and trains on it.

PostgreSQL, an object store over HTTP, MLflow on both with passwords, and a Ray cluster of three
nodes with a token are started with the commands and the secrets of docker/. Jobs are submitted over
the cluster's API. Needs `pip install -e '.[docker]'`; takes about three minutes on two cores.

    python tests/topology/run.py
"""

import configparser
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml
from processes import Processes
from ray_nodes import RayCluster, start_ray
from running import SMALL
from servers import Database, ObjectStore, start_mlflow, start_objects, start_postgres, status
from serving import free_port
from shipped import DOCKER, ROOT

from service.training.checkpoint import read_checkpoint
from service.training.retention import checkpoint_folders

JOB = [
    "python",
    "pipelines/imagenet.py",
    *SMALL,
    "training.duration=1ep",
    "tracking.system_metrics_every=1",
    "storage.path=s3://runs/service",
]
"""A run of 8 steps on two nodes, whose checkpoints go to the object store."""


@dataclass(frozen=True)
class Topology:
    """All of it, running."""

    folder: Path
    secrets: Path
    database: Database
    objects: ObjectStore
    mlflow: str
    ray: RayCluster

    def check_run(self, name: str) -> str:
        """Compares each file of a run's last checkpoint in the object store with the manifest."""
        place = self.folder / "downloaded"
        self.objects.download("runs", place)
        newest = checkpoint_folders(place / "service" / name)[0]
        read_checkpoint(newest)
        return newest.name


def make_secrets(folder: Path, database_port: int) -> Path:
    """Makes the secrets with the shipped script."""
    place = folder / "secrets"
    subprocess.run(
        [DOCKER / "make-secrets", place],
        env={"DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": str(database_port)}
        | {"PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
    )
    # What containers mount into the home folder.
    client = folder / "home" / ".mlflow"
    client.mkdir(parents=True)
    shutil.copyfile(place / "mlflow_credentials", client / "credentials")
    return place


def start(processes: Processes, folder: Path) -> Topology:
    """Starts everything, in compose's order."""
    database_port, objects_port, mlflow_port, *ray_ports = (free_port() for _ in range(9))
    secrets = make_secrets(folder, database_port)
    database = start_postgres(processes, folder, secrets, database_port)
    objects = start_objects(processes, folder, secrets, objects_port)
    mlflow = start_mlflow(processes, folder, secrets, objects, mlflow_port)
    variables = {
        "MLFLOW_TRACKING_URI": mlflow,
        "AWS_ENDPOINT_URL": objects.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_SHARED_CREDENTIALS_FILE": str(secrets / "runs_credentials"),
    }
    ray = start_ray(processes, folder, secrets, ray_ports, variables)
    return Topology(folder, secrets, database, objects, mlflow, ray)


def closed_to_strangers(topology: Topology) -> str:
    """Nothing works without the token or the password."""
    refused = topology.ray.submit(["python", "-c", "1"], cwd=ROOT, token=False)
    assert refused.returncode != 0, refused.stdout
    assert status(f"{topology.ray.dashboard}/api/jobs/") == 401
    experiments = f"{topology.mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert status(experiments) == 401
    assert status(experiments, Host="elsewhere.example.org") == 403
    return "401 from Ray and from MLflow, 403 for a foreign host name"


def job_of_the_installed_project(topology: Topology) -> str:
    """`ray job submit -- python pipelines/imagenet.py`, from anywhere."""
    done = topology.ray.submit([*JOB, "name=installed"], cwd=topology.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    newest = topology.check_run("installed")
    # Rank 0 and the driver were on different machines.
    told = [line for line in done.stdout.splitlines() if "top1" in line and "epoch 1.0/1" in line]
    assert len(told) == 1, done.stdout
    keys = configparser.ConfigParser()
    keys.read(topology.secrets / "runs_credentials")
    assert keys["default"]["aws_secret_access_key"] not in done.stdout + done.stderr
    return f"{newest} is whole in the object store"


def job_goes_on_from_the_store(topology: Topology) -> str:
    """A longer run of the same name continues, though no machine has a copy of it any more."""
    for home in topology.folder.glob("home*"):
        shutil.rmtree(home / ".cache" / "service", ignore_errors=True)
    longer = [*JOB, "--resume", "name=installed", "training.duration=2ep"]
    done = topology.ray.submit(longer, cwd=topology.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{topology.check_run('installed')} after both epochs"


def job_of_a_checkout(topology: Topology) -> str:
    """`ray job submit --working-dir . -- …`, from a checkout that the cluster does not have."""
    checkout = topology.folder / "laptop"
    left_out = shutil.ignore_patterns(".git", "__pycache__", "runs", ".*_cache", "tests", "docker")
    shutil.copytree(ROOT, checkout, ignore=left_out)
    for name in ("runs/old/weights", ".git/HEAD"):
        (checkout / name).parent.mkdir(parents=True)
        (checkout / name).write_bytes(bytes(1000))
    asked = "import os, service; print('there:', *os.listdir(), os.getcwd(), service.__file__)"
    there = topology.ray.submit(["python", "-c", asked], "--working-dir", ".", cwd=checkout)
    assert there.returncode == 0, there.stdout + there.stderr
    answer = next(row for row in there.stdout.splitlines() if row.startswith("there: "))
    *uploaded, place, imported = answer.split()[1:]
    assert not {"runs", ".git"} & set(uploaded), uploaded
    assert imported.startswith(place), f"the job imported {imported}"
    done = topology.ray.submit([*JOB, "name=uploaded"], "--working-dir", ".", cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    topology.check_run("uploaded")
    return "the uploaded code ran; runs and history stayed behind"


def kept_by_the_servers(topology: Topology) -> str:
    """Both runs are in the database, their files in the object store."""
    question = (
        "select r.name, r.status, count(m.key) from runs r join metrics m using (run_uuid)"
        " group by r.run_uuid order by r.name"
    )
    rows = topology.database.ask(question)
    assert [row[:2] for row in rows] == [("installed", "FINISHED"), ("uploaded", "FINISHED")], rows
    workers = topology.database.ask("select value from metrics where key = 'system/workers'")
    assert set(workers) == {(2.0,)}, workers
    jobs = topology.database.ask("select value from tags where key = 'ray.submission_id'")
    assert len(jobs) == 2, jobs
    repeated = topology.database.ask(
        "select key, step from metrics where key = 'train/loss'"
        " group by run_uuid, key, step having count(*) > 1"
    )
    assert not repeated, repeated
    sizes = topology.objects.sizes("mlflow")
    assert any(name.endswith("config.yaml") for name in sizes), sorted(sizes)
    return f"{rows[0][2]} and {rows[1][2]} metrics, {len(sizes)} objects"


def job_that_is_stopped(topology: Topology) -> str:
    """`ray job stop` reaches rank 0, which is on another machine than the driver."""
    wait_for_stop = '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}'
    options = ["--no-wait", "--submission-id=stopped", f"--runtime-env-json={wait_for_stop}"]
    endless = [*JOB, "name=stopped", "training.duration=1000000st", "training.log_every=1"]
    begun = topology.ray.submit(endless, *options, cwd=topology.folder)
    assert begun.returncode == 0, begun.stdout + begun.stderr
    until = time.monotonic() + 240
    while not any("stopped/metrics" in name for name in topology.objects.sizes("runs")):
        assert time.monotonic() < until
        time.sleep(1)
    stop = ["job", "stop", f"--address={topology.ray.dashboard}", "stopped"]
    done = topology.ray.ray(*stop, cwd=topology.folder, token=topology.ray.token)
    assert done.returncode == 0, done.stdout + done.stderr
    step = topology.check_run("stopped")
    assert not any("/stopped/driver" in name for name in topology.objects.sizes("runs"))
    question = "select status from runs where name = 'stopped'"
    assert topology.database.ask(question) == [("KILLED",)]
    return f"{step} was saved, and the run closed as KILLED"


def notice_of_an_end(topology: Topology) -> str:
    """A worker of the Kubernetes cluster announces its end with the command of its hook."""
    cluster = yaml.safe_load((DOCKER / "kuberay" / "ray-cluster.yaml").read_text())
    (group,) = cluster["spec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    script = container["lifecycle"]["preStop"]["exec"]["command"][-1]
    ray, *words = shlex.split(script.partition(" && ")[0])
    words[words.index("$RAY_ADDRESS")] = topology.ray.address
    done = topology.ray.ray(*words, cwd=topology.folder, token=topology.ray.token)
    assert done.returncode == 0, f"{ray}: {done.stdout}{done.stderr}"
    return "Ray took it"


CHECKS: list[Callable[[Topology], str]] = [
    closed_to_strangers,
    job_of_the_installed_project,
    job_goes_on_from_the_store,
    job_of_a_checkout,
    kept_by_the_servers,
    job_that_is_stopped,
    notice_of_an_end,
]


def main() -> int:
    """Starts the topology, goes through the checks, and ends everything."""
    folder = Path(tempfile.mkdtemp(prefix="topology-"))
    # PostgreSQL's user has to reach its folder.
    folder.chmod(0o755)
    processes = Processes(folder / "logs")
    began = time.monotonic()
    try:
        topology = start(processes, folder)
        print(f"all servers answer after {time.monotonic() - began:.0f} s", flush=True)
        for check in CHECKS:
            moment = time.monotonic()
            found = check(topology)
            print(f"{check.__name__}: {found} ({time.monotonic() - moment:.0f} s)", flush=True)
    except (AssertionError, RuntimeError):
        print(f"logs: {folder / 'logs'}", file=sys.stderr)
        raise
    finally:
        processes.stop()
    with suppress(OSError):
        shutil.rmtree(folder)
    print("the topology works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
