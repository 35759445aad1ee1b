"""A Ray cluster of a head without cores and two nodes of one core, with a token.

Each node has a home folder of its own, as each machine has: runs are shared by the store alone.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from processes import Processes
from servers import SCRIPTS, status
from shipped import ROOT, changed, service_command


@dataclass(frozen=True)
class RayCluster:
    """A running cluster."""

    address: str
    dashboard: str
    token: Path
    folder: Path

    def ray(
        self, *arguments: str, cwd: Path, token: Path | None
    ) -> subprocess.CompletedProcess[str]:
        """Runs Ray's command line as somebody who has the token, or none."""
        line = [str(SCRIPTS / "ray"), *arguments]
        return subprocess.run(
            line,
            env=_environment(self.folder, token, {}),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def submit(
        self, entrypoint: Sequence[str], *options: str, cwd: Path, token: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Submits a job over the API and waits for its end."""
        line = ["job", "submit", f"--address={self.dashboard}", *options, "--", *entrypoint]
        return self.ray(*line, cwd=cwd, token=self.token if token else None)


def installed_project(folder: Path) -> Path:
    """Makes the folder that the image has as its working directory."""
    place = folder / "service"
    for name in ("pipelines", "configs"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def start_ray(
    processes: Processes,
    folder: Path,
    secrets: Path,
    ports: Sequence[int],
    variables: Mapping[str, str],
) -> RayCluster:
    """Starts the nodes with the commands of compose, on ports and in a folder of their own.

    Args:
        processes: Where they are started.
        folder: Where their files go.
        secrets: The folder of secrets.
        ports: Of Ray's servers.
        variables: What compose gives the nodes in their environment.
    """
    place = installed_project(folder)
    token = secrets / "ray_token"
    environment = _environment(folder, token, variables)
    port, dashboard, client, *agents = ports
    temporary = str(folder / "r")
    head = changed(
        service_command("head"),
        port=str(port),
        dashboard_host="127.0.0.1",
        dashboard_port=str(dashboard),
        ray_client_server_port=str(client),
        dashboard_agent_listen_port=str(agents[0]),
        temp_dir=temporary,
    )
    processes.start("head", [str(SCRIPTS / head[0]), *head[1:]], environment, place)
    url = f"http://127.0.0.1:{dashboard}"
    processes.wait("Ray's head", lambda: status(f"{url}/api/gcs_healthz") == 200)
    for number, agent in enumerate(agents[1:], start=1):
        worker = changed(
            service_command("worker-cpu"),
            address=f"127.0.0.1:{port}",
            dashboard_agent_listen_port=str(agent),
            num_cpus="1",
            # In one folder the nodes would unpack uploaded code over each other's.
            temp_dir=str(folder / f"r{number}"),
        )
        environment = _environment(folder, token, variables, f"home-{number}")
        processes.start(
            f"worker-{number}", [str(SCRIPTS / worker[0]), *worker[1:]], environment, place
        )
        health = f"http://127.0.0.1:{agent}/api/local_raylet_healthz"
        processes.wait(f"Ray's worker {number}", partial(_well, health))
    return RayCluster(f"127.0.0.1:{port}", url, token, folder)


def _well(url: str) -> bool:
    return status(url) == 200


def _environment(
    folder: Path, token: Path | None, more: Mapping[str, str], home_folder: str = "home"
) -> dict[str, str]:
    """Returns the environment of a machine: a home of its own, and a token or none."""
    foreign = ("RAY_", "MLFLOW_", "AWS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    home = folder / (home_folder if token else "stranger")
    home.mkdir(exist_ok=True)
    if token and not (home / ".mlflow").exists():
        # What containers mount into the home folder.
        shutil.copytree(folder / "home" / ".mlflow", home / ".mlflow")
    found = {
        **kept,
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(folder),
        **more,
    }
    if token is not None:
        found |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    return found
