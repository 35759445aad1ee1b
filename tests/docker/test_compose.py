"""The compose stack: closed, checked, complete."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

Document = dict[str, Any]


def test_services_are_the_topology_that_the_readme_describes(compose: Document) -> None:
    assert set(compose["services"]) == {
        "head",
        "worker-gpu",
        "worker-cpu",
        "mlflow",
        "postgres",
        "objects",
    }


def test_ports_are_published_on_this_machine_only(compose: Document) -> None:
    published = [port for service in compose["services"].values() for port in ports_of(service)]
    assert sorted(published) == ["127.0.0.1:5000:5000", "127.0.0.1:8265:8265"]


def test_other_machines_get_in_only_if_asked(docker: Path) -> None:
    text = (docker / "compose.yaml").read_text()
    assert re.findall(r'ports: \["(\$\{\w+)', text) == ["${PUBLISH_ON"] * 2


def test_every_service_says_how_it_is(compose: Document) -> None:
    for name, service in compose["services"].items():
        check = service["healthcheck"]
        assert check["test"][0] == "CMD", name
        assert {"interval", "timeout", "retries", "start_period"} <= set(check), name


def test_services_start_when_those_they_need_are_healthy(compose: Document) -> None:
    needs = {name: service.get("depends_on", {}) for name, service in compose["services"].items()}
    assert {name: sorted(needed) for name, needed in needs.items()} == {
        "objects": [],
        "postgres": [],
        "mlflow": ["objects", "postgres"],
        "head": ["mlflow"],
        "worker-gpu": ["head"],
        "worker-cpu": ["head"],
    }
    conditions = [how["condition"] for needed in needs.values() for how in needed.values()]
    assert set(conditions) == {"service_healthy"}


def test_no_service_has_privileges_or_is_root(compose: Document) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        # Ours have their user in the image.
        assert "build" in service or int(service["user"].partition(":")[0]) > 0, name
        assert not {"privileged", "network_mode", "pid", "cap_add"} & set(service), name


def test_images_of_others_have_a_version(compose: Document) -> None:
    for name, service in compose["services"].items():
        assert re.search(r":(gpu|cpu|\d+\.\d+[\w.-]*)$", service["image"]), name


def test_secrets_are_files_and_stand_in_no_environment(compose: Document) -> None:
    assert all(list(secret) == ["file"] for secret in compose["secrets"].values())
    used = {name for service in compose["services"].values() for name in secrets_of(service)}
    assert used == set(compose["secrets"])
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            # A variable that names a secret may only name its file.
            if re.search(r"token|password|secret|key", variable, re.IGNORECASE):
                assert variable == "RAY_AUTH_MODE" or str(value).startswith("/run/"), name


def test_the_database_is_reached_through_mlflow_alone(compose: Document) -> None:
    assert compose["networks"]["stores"]["internal"] is True
    assert compose["services"]["postgres"]["networks"] == ["stores"]
    inside = [n for n, s in compose["services"].items() if "stores" in s["networks"]]
    assert sorted(inside) == ["mlflow", "objects", "postgres"]


def test_nodes_have_keys_for_the_bucket_of_runs_and_no_others(compose: Document) -> None:
    for name in ("head", "worker-gpu", "worker-cpu"):
        service = compose["services"][name]
        assert service["environment"]["AWS_ENDPOINT_URL"] == "http://objects:8333"
        file = service["environment"]["AWS_SHARED_CREDENTIALS_FILE"]
        assert file == "/run/secrets/runs_credentials"
        assert "runs_credentials" in service["secrets"]
        assert "aws_credentials" not in service["secrets"]
        assert set(service["networks"]) & set(compose["services"]["objects"]["networks"])


def test_every_node_asks_for_the_token(compose: Document) -> None:
    for name in ("head", "worker-gpu", "worker-cpu"):
        service = compose["services"][name]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        path = service["environment"]["RAY_AUTH_TOKEN_PATH"]
        assert path == "/run/secrets/ray_token"
        assert "ray_token" in service["secrets"]


def test_a_start_without_a_profile_says_what_to_give(docker: Path) -> None:
    text = (docker / "compose.yaml").read_text()
    assert "${COMPOSE_PROFILES:?give COMPOSE_PROFILES=gpu or COMPOSE_PROFILES=cpu}" in text


def test_workers_and_image_follow_one_variable(compose: Document) -> None:
    for kind in ("gpu", "cpu"):
        assert compose["services"][f"worker-{kind}"]["profiles"] == [kind]
    assert compose["services"]["head"]["image"] == "training-ray:cpu"
    assert compose["services"]["head"]["build"]["args"]["VARIANT"] == "cpu"


def test_compose_knows_all_its_keys(
    docker: Path, program: Callable[[str], str], tmp_path: Path
) -> None:
    tool = program("check-jsonschema")
    line = [tool, "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*line, docker / "compose.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    # The tool finds a key that compose does not have.
    wrong = yaml.safe_load((docker / "compose.yaml").read_text())
    wrong["services"]["mlflow"]["healthchek"] = {}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    found = subprocess.run([*line, tmp_path / "wrong.yaml"], capture_output=True, check=False)
    assert found.returncode == 1


def ports_of(service: Document) -> Iterator[str]:
    yield from service.get("ports", [])


def secrets_of(service: Document) -> Iterator[str]:
    for secret in service.get("secrets", []):
        yield secret if isinstance(secret, str) else secret["source"]


@pytest.mark.parametrize("name", ["head", "worker-gpu", "worker-cpu"])
def test_all_nodes_see_the_runs_at_the_same_place(compose: Document, name: str) -> None:
    assert "runs:/opt/service/runs" in compose["services"][name]["volumes"]
