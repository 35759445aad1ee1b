"""The README's commands name files, services and secrets that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

Document = dict[str, Any]
MADE_LATER = ("docker/secrets", "docker/kuberay/settings.env")


@pytest.fixture(scope="module")
def commands(docker: Path) -> str:
    text = (docker / "README.md").read_text()
    return "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")


def test_files_in_commands_exist(commands: str, docker: Path) -> None:
    named = set(re.findall(r"docker/[\w./-]*\w", commands))
    assert {"docker/make-secrets", "docker/compose.yaml", "docker/kuberay"} <= named
    for name in sorted(named):
        assert name.startswith(MADE_LATER) or (docker.parent / name).exists(), name


def test_every_secret_of_the_pods_is_made_with_its_keys(
    commands: str, manifests: list[Document]
) -> None:
    made = {}
    for line in re.findall(r"create secret generic (.*)", commands):
        name, *options = line.split()
        files = [option.removeprefix("--from-file=") for option in options]
        made[name] = {file.partition("=")[0].rpartition("/")[2] for file in files}
    text = yaml.safe_dump_all(manifests)
    assert set(re.findall(r"secretName: (\S+)", text)) == set(made)
    assert made["ray-token"] == {"auth_token"}  # as KubeRay wants it
    assert made["mlflow-client"] == {"credentials"}  # as MLflow's client wants it
    server = (Path(__file__).parents[2] / "docker" / "mlflow-server").read_text()
    needed = re.search(r"for name in (.*); do", server)
    assert needed is not None
    assert made["mlflow-server"] == set(needed[1].split())


def test_services_that_are_forwarded_exist(
    commands: str, manifests: list[Document], ray_cluster: Document
) -> None:
    services = {m["metadata"]["name"] for m in manifests if m["kind"] == "Service"}
    services.add(f"{ray_cluster['metadata']['name']}-head-svc")  # KubeRay's name for it
    forwarded = re.findall(r"port-forward service/(\S+)", commands)
    assert len(forwarded) == 2
    assert set(forwarded) <= services
