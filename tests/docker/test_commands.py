"""The commands in all files are understood by the programs they call."""

import importlib.util
import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts import scripts

Document = dict[str, Any]


def understood(command: click.Command, words: list[str]) -> dict[str, Any]:
    """Returns what a program reads in a command line, without running it."""
    return command.make_context(command.name, list(words)).params


@pytest.mark.parametrize("name", ["head", "worker-gpu", "worker-cpu"])
def test_ray_understands_how_compose_starts_it(compose: Document, name: str) -> None:
    ray, start, *words = shlex.split(compose["services"][name]["command"])
    assert (ray, start) == ("ray", "start")
    read = understood(scripts.start, words)
    assert read["block"]
    assert read["head"] == (name == "head")
    if name == "head":
        assert (read["port"], read["dashboard_port"], read["num_cpus"]) == (6379, 8265, 0)
    else:
        assert read["address"] == "head:6379"


def test_ray_understands_how_kuberay_starts_it(ray_cluster: Document) -> None:
    spec = ray_cluster["spec"]
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        words = [f"--{name}={value}" for name, value in group["rayStartParams"].items()]
        understood(scripts.start, [*words, "--block"])


def test_ray_understands_the_notice_of_a_worker_that_ends(ray_cluster: Document) -> None:
    (group,) = ray_cluster["spec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command[:2] == ["/bin/bash", "-c"]
    ray, drain, *words = shlex.split(command[2].partition(" && ")[0])
    assert (ray, drain) == ("ray", "drain-node")
    read = understood(scripts.drain_node, words)
    assert read["reason"] == "DRAIN_NODE_REASON_PREEMPTION"
    assert read["node_id"] is None  # the node on which it runs


@pytest.fixture(scope="module")
def mlflow_server() -> click.Command:
    """The command `mlflow server`; importing it warns of MLflow's own types."""
    with warnings.catch_warnings(action="ignore"):
        from mlflow.cli import server
    return server


def server_options(docker: Path) -> list[str]:
    """Returns the options that the image's script gives to every server."""
    script = (docker / "mlflow-server").read_text().replace("\\\n", " ")
    line = re.search(r"^exec (mlflow server .*)\"\$@\"$", script, re.MULTILINE)
    assert line is not None
    return shlex.split(line[1])[2:]


def test_mlflow_understands_how_compose_starts_it(
    mlflow_server: click.Command, compose: Document, docker: Path
) -> None:
    words = shlex.split(compose["services"]["mlflow"]["command"])
    read = understood(mlflow_server, [*server_options(docker), *words])
    assert read["app_name"] == "basic-auth"
    assert read["artifacts_destination"] == "s3://mlflow"
    assert read["serve_artifacts"]
    assert "mlflow:5000" in read["allowed_hosts"].split(",")
    assert "*" not in read["allowed_hosts"]
    assert ":" not in read["backend_store_uri"].partition("://")[2], "a password on a command line"


def test_mlflow_understands_how_kubernetes_starts_it(
    mlflow_server: click.Command,
    manifests: list[Document],
    docker: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (deployment,) = [found for found in manifests if found["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for line in (docker / "kuberay" / "settings.env.example").read_text().splitlines():
        if line and not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))
    read = understood(mlflow_server, [*server_options(docker), *container["args"]])
    assert read["artifacts_destination"] == "s3://mlflow"
    assert "mlflow:5000" in read["allowed_hosts"].split(",")


def test_pipeline_understands_the_jobs_command(
    ray_job: Document, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python, program, *words = shlex.split(ray_job["spec"]["entrypoint"])
    root = Path(__file__).resolve().parents[2]
    assert python == "python"
    spec = importlib.util.spec_from_file_location("pipeline", root / program)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(root)
    assert "--resume" in words, "a job that is started again begins anew"
    assert module.run_pipeline(module.PIPELINE, [*words, "--print-config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["name"] == "resnet50-shakedrop"
    assert shown["data"]["root"] == "/data/imagenet"


def test_job_has_time_to_save_before_it_is_killed(ray_job: Document) -> None:
    settings = yaml.safe_load(ray_job["spec"]["runtimeEnvYAML"])
    assert int(settings["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) >= 30


def test_rays_launcher_accepts_its_file(docker: Path) -> None:
    given = yaml.safe_load((docker / "ray-cluster.yaml").read_text())
    complete = prepare_config(given)
    validate_config(complete)
    for part in ("head_start_ray_commands", "worker_start_ray_commands"):
        *_, words = (line.partition("ray start ")[2] for line in complete[part])
        read = understood(scripts.start, shlex.split(words))
        assert read["dashboard_host"] in ("127.0.0.1", None)
        assert "cd /opt/service && ray start" in complete[part][-1]
    options = " ".join(complete["docker"]["run_options"])
    assert "RAY_AUTH_TOKEN_PATH=/run/secrets/ray_token" in options
    assert ":/run/secrets/ray_token:ro" in options
