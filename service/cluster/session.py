"""Joining the cluster this process runs on, or starting one here."""

import json
import logging
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from service.cluster.resources import Node
from service.config.errors import ConfigurationError
from service.config.training import ClusterConfig, StorageConfig
from service.storage.folders import check_storage, storage_folder

_TRAIN_SETTINGS = {
    # The controller looks at its workers this often; each report waits for a look.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # A node that is taken away announces it as late as half a minute before.
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "2",
    # Workers would otherwise change into a folder of Ray's, and relative paths would break.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray Train sets it for its own processes; set here, all of them have the same environment.
    "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0",
}

# Read where a cluster is started, and not worth a process each where it has one machine and one
# user, who waits for the first step.
_OWN_CLUSTER = {
    # Processes that would wait for tasks; Ray Train's actors have an environment of their own.
    "RAY_prestart_worker_first_driver": "0",
    # Nobody takes the machine away.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Nobody collects them.
    "RAY_TRAIN_METRICS_ENABLED": "0",
}

HEAD = "node:__internal_head__"
"""Resource that every cluster's head has, whatever else it has."""

_LONGEST_FOLDER = 40
"""Characters: names of sockets below it must not exceed 107."""


@dataclass(frozen=True)
class Cluster:
    """What this process is connected to."""

    nodes: list[Node]
    """Its machines."""
    ours: bool
    """Whether this process started it, for itself alone."""


def join(
    config: ClusterConfig, *, dashboard: bool, meanwhile: Callable[[], None] | None = None
) -> Cluster:
    """Connects this process to Ray.

    Args:
        config: Which cluster.
        dashboard: Whether a cluster that is started here needs Ray's dashboard, which costs some
            seconds of computing. Ray asks it for the actors and placement groups that are left
            when trials of a sweep are stopped.
        meanwhile: Called in a thread, because to start a cluster is mostly to wait for it.

    Raises:
        ConfigurationError: There is no cluster at the address.
    """
    _prepare_environment(config)
    import ray

    if meanwhile is not None:
        threading.Thread(target=meanwhile, name="meanwhile", daemon=True).start()
    ours = not ray.is_initialized() and _connect(config.address, dashboard=dashboard)
    return Cluster(living_nodes(), ours)


def living_nodes() -> list[Node]:
    """Returns the machines of the cluster that this process is connected to."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # ray's
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return [Node(int(r.get("CPU", 0)), int(r.get("GPU", 0))) for r in alive]


def on_head() -> bool:
    """Tells whether this process is connected to Ray on the cluster's head."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # ray's
    return any(node["NodeID"] == here and HEAD in node["Resources"] for node in nodes)


def leave() -> None:
    """Disconnects this process; a cluster that `join` started here ends."""
    import ray

    ray.shutdown()


def start_patience(config: ClusterConfig) -> float:
    """Returns the seconds that Ray waits for the workers' resources before it tries again.

    A short wait suits an elastic run: for up to 20 seconds after a node was lost Ray still counts
    on it, and only then tries with fewer workers.
    """
    return config.start_timeout if config.min_workers is None else min(10, config.start_timeout)


def job_settings() -> dict[str, Any]:
    """Returns what Ray says of the submitted job this process runs in; empty outside of one."""
    settings: dict[str, Any] = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    return settings


def submission_id() -> str | None:
    """Returns the id of the Ray job this process runs in, if any."""
    identity = job_settings().get("metadata", {}).get("job_submission_id")
    return str(identity) if identity else None


def absolute_storage(storage: StorageConfig) -> Path:
    """Returns the folder of all runs on this machine, once it is known that it can be used.

    A relative one lies in the current folder. A job whose folder was uploaded runs in a copy that
    Ray deletes: there it lies in the home folder.

    Raises:
        ConfigurationError: It is an object store that cannot be used.
    """
    uploaded = "working_dir" in job_settings().get("runtime_env", {})
    folder = storage_folder(storage, Path.home() if uploaded else Path.cwd())
    check_storage(storage)
    return folder


def _connect(address: str, *, dashboard: bool) -> bool:
    """Connects this process to Ray; returns whether it started a cluster for that."""
    import ray

    start = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
    try:
        if address == "local":
            start(address="local", include_dashboard=dashboard)
            return True
        start(address=address)
    except ray.exceptions.AuthenticationError as error:
        raise ConfigurationError(
            "cluster.address: the Ray cluster that runs here does not accept this process's token; "
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to the cluster's, or start another with "
            "cluster.address=local"
        ) from error
    except ConnectionError as error:
        if address != "auto" or "RAY_ADDRESS" in os.environ:
            where = os.environ.get("RAY_ADDRESS", address)
            raise ConfigurationError(
                f"cluster.address: no Ray cluster answers at {where}, or it does not accept this "
                "process's token (RAY_AUTH_TOKEN); start one with `ray start --head`, or leave the "
                "address at auto"
            ) from error
        start(address="local", include_dashboard=dashboard)
        return True
    return False


def _prepare_environment(config: ClusterConfig) -> None:
    """Sets what Ray reads when it is imported; whatever the user set stays."""
    for name, value in _TRAIN_SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", f"{start_patience(config):g}")
    os.environ.setdefault("RAY_TRAIN_COLLECTIVE_TIMEOUT_S", f"{config.collective_timeout:g}")
    given = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)
    # Ray reads the token when it is imported: one set later would be the cluster's alone.
    if _starts_cluster(config.address) and not given and "ray" not in sys.modules:
        # A cluster of our own is closed to other users of the machine. Left alone, Ray would write
        # a token into the home folder, which locks later `ray job submit` calls out of clusters
        # that have none.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if _starts_cluster(config.address) and "ray" not in sys.modules:
        for name, value in _OWN_CLUSTER.items():
            os.environ.setdefault(name, value)
        # In the usual folder Ray's clean-up would find the name of another cluster, running or
        # long gone: it asks that one about this run, and ends it because it is not known there.
        own = f"{tempfile.gettempdir()}/ray-{os.getuid()}"
        if len(own) <= _LONGEST_FOLDER:
            os.environ.setdefault("RAY_TMPDIR", own)


def _starts_cluster(address: str) -> bool:
    """Tells whether `_connect` will find no cluster.

    Ray names the running one in a file, and looks for its processes where that is missing.
    """
    if address != "auto" or "RAY_ADDRESS" in os.environ:
        return address == "local"
    return not _running_cluster().exists() and not any(
        "gcs_server" in (process.info["name"] or "") for process in psutil.process_iter(["name"])
    )


def _running_cluster() -> Path:
    """Returns the file in which Ray names the machine's running cluster, if there is one."""
    return Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir())) / "ray/ray_current_cluster"
