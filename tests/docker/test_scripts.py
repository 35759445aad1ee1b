"""The scripts of docker/, run."""

import configparser
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml


def run(command: list[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def secrets(docker: Path, tmp_path: Path) -> Path:
    done = run([docker / "make-secrets", tmp_path / "secrets"])
    assert done.returncode == 0, done.stderr
    return tmp_path / "secrets"


def settings(path: Path) -> dict[str, str]:
    """Returns the one section of a file of settings."""
    read = configparser.ConfigParser()
    read.read(path)
    (section,) = read.sections()
    return dict(read[section])


def test_all_secrets_of_compose_are_made(secrets: Path, docker: Path) -> None:
    stack = yaml.safe_load((docker / "compose.yaml").read_text())
    for secret in stack["secrets"].values():
        assert (secrets / Path(secret["file"]).name).stat().st_size > 0


def test_servers_and_clients_get_the_same_secrets(secrets: Path) -> None:
    password = (secrets / "postgres_password").read_text()
    assert settings(secrets / "pg_service.conf")["password"] == password
    server, client = settings(secrets / "mlflow_auth.ini"), settings(secrets / "mlflow_credentials")
    assert server["admin_password"] == client["mlflow_tracking_password"]
    assert server["admin_username"] == client["mlflow_tracking_username"]
    identities = json.loads((secrets / "s3.json").read_text())["identities"]
    for name, identity in zip(("aws", "runs"), identities, strict=True):
        keys = settings(secrets / f"{name}_credentials")
        assert identity["credentials"] == [
            {"accessKey": keys["aws_access_key_id"], "secretKey": keys["aws_secret_access_key"]}
        ]
    # Those who train cannot touch what MLflow keeps.
    assert all(action.endswith(":runs") for action in identities[1]["actions"])


def test_secrets_differ_and_are_long(secrets: Path) -> None:
    names = ("ray_token", "postgres_password", "mlflow_flask_secret_key", "mlflow_password")
    found = {(secrets / name).read_text() for name in (*names, "s3_secret_key", "runs_secret_key")}
    assert len(found) == 6
    assert all(len(secret) == 64 for secret in found)


def test_others_on_the_machine_cannot_reach_the_secrets(secrets: Path) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    # Containers read them as users of their own.
    assert (secrets / "ray_token").stat().st_mode & 0o777 == 0o444


def test_secrets_that_exist_stay(docker: Path, secrets: Path) -> None:
    before = {path: path.read_bytes() for path in secrets.iterdir()}
    done = run([docker / "make-secrets", secrets])
    assert (done.returncode, done.stdout) == (0, "")
    assert {path: path.read_bytes() for path in secrets.iterdir()} == before


def test_git_and_builder_leave_the_secrets_alone(docker: Path) -> None:
    assert "secrets/" in (docker / ".gitignore").read_text().splitlines()


def test_server_without_a_secret_names_it(docker: Path, secrets: Path) -> None:
    (secrets / "mlflow_auth.ini").unlink()
    done = run([docker / "mlflow-server"], SECRETS_FOLDER=str(secrets))
    assert done.returncode == 66
    missing = f"{secrets}/mlflow_auth.ini is missing or empty"
    assert done.stderr == f"mlflow-server: {missing}; docker/make-secrets makes it\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["cpu", ""], 64, "TORCH_CPU_INDEX: give the address"),
        (["cpu", "index"], 66, "docker/torch-cpu.lock is missing"),
        (["tpu"], 64, "VARIANT: 'tpu' is neither gpu nor cpu"),
    ],
)
def test_image_that_cannot_be_built_says_why(
    docker: Path, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    script = tmp_path / "install-packages"
    script.write_bytes((docker / "install-packages").read_bytes())
    script.chmod(0o755)
    done = run([script, *arguments])
    assert done.returncode == status
    assert message in done.stderr


def test_shellcheck_has_nothing_to_say(docker: Path, program: Callable[[str], str]) -> None:
    names = ("install-packages", "lock", "make-secrets", "mlflow-server")
    done = run([program("shellcheck"), *(docker / name for name in names)])
    assert done.returncode == 0, done.stdout


def test_lock_says_how_it_is_used(docker: Path) -> None:
    done = run([docker / "lock", "everything"])
    assert done.returncode == 64
    assert "docker/lock torch-cpu INDEX" in done.stderr
