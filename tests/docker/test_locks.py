"""The lists of packages that go into the images."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ("requirements-gpu.lock", "requirements-cpu.lock", "requirements-mlflow.lock")
FROM_ANOTHER_INDEX = {"torch", "torchvision", "torchcodec"}


def packages(path: Path) -> dict[str, str]:
    """Returns the version of each package of a lock."""
    rows = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in rows}


def project() -> dict[str, Any]:
    root = Path(__file__).resolve().parents[2]
    return tomllib.loads((root / "pyproject.toml").read_text())


def wanted() -> list[Requirement]:
    """Returns what the project needs to be built and to run, with its optional parts."""
    read = project()
    parts = read["project"]["optional-dependencies"]
    needed = [*read["project"]["dependencies"], *read["build-system"]["requires"]]
    return [Requirement(text) for text in [*needed, *parts["lamb"], *parts["export"], *parts["s3"]]]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_one_version_and_hashes(docker: Path, lock: str) -> None:
    text = (docker / lock).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+ \\\n {4}--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
    assert len(entries) == len(packages(docker / lock))


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_a_host(docker: Path, lock: str) -> None:
    assert not re.search(r"://|^-|@ ", (docker / lock).read_text(), re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS[:2])
def test_locks_cover_what_the_project_needs(docker: Path, lock: str) -> None:
    found = packages(docker / lock)
    for requirement in wanted():
        name = canonicalize_name(requirement.name)
        if lock == "requirements-cpu.lock" and name in FROM_ANOTHER_INDEX:
            assert name not in found
        else:
            assert requirement.specifier.contains(found[name]), f"{requirement} is {found[name]}"


def test_variants_differ_by_the_libraries_for_gpus_alone(docker: Path) -> None:
    gpu, cpu = (packages(docker / lock) for lock in LOCKS[:2])
    assert cpu.items() <= gpu.items()
    more = set(gpu) - set(cpu)
    assert {"torch", "torchvision", "torchcodec", "triton"} < more
    rest = more - FROM_ANOTHER_INDEX - {"triton"}
    assert all(name.startswith(("nvidia-", "cuda-")) for name in rest), rest


def test_tracking_server_speaks_to_database_and_store_and_matches_its_clients(docker: Path) -> None:
    server = packages(docker / "requirements-mlflow.lock")
    clients = packages(docker / "requirements-gpu.lock")
    assert {"flask-wtf", "psycopg", "psycopg-binary", "boto3"} <= set(server)
    assert "torch" not in server
    assert server["mlflow"] == clients["mlflow"]
