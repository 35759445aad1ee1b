"""What the files of docker/ say, read once; and where the programs that check them are."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
KUBERAY = DOCKER / "kuberay"

Document = dict[str, Any]


@pytest.fixture(scope="session")
def docker() -> Path:
    return DOCKER


@pytest.fixture(scope="session")
def compose() -> Document:
    """compose.yaml as it is with no variable but the profile given."""
    text = (DOCKER / "compose.yaml").read_text()
    read: Document = yaml.safe_load(with_variables(text, {"COMPOSE_PROFILES": "cpu"}))
    return read


@pytest.fixture(scope="session")
def manifests() -> list[Document]:
    """Every Kubernetes object of docker/kuberay."""
    files = sorted(set(KUBERAY.glob("*.yaml")) - {KUBERAY / "kustomization.yaml"})
    return [found for path in files for found in yaml.safe_load_all(path.read_text())]


@pytest.fixture(scope="session")
def ray_cluster(manifests: list[Document]) -> Document:
    return next(found for found in manifests if found["kind"] == "RayCluster")


@pytest.fixture(scope="session")
def ray_job(manifests: list[Document]) -> Document:
    return next(found for found in manifests if found["kind"] == "RayJob")


@pytest.fixture(scope="session")
def pod_templates(manifests: list[Document]) -> dict[str, Document]:
    """Every pod template, by where it stands."""
    return {
        f"{found['kind']} {name_of(found)} {place}": template
        for found in manifests
        for place, template in templates_of(found.get("spec", {}))
    }


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Returns a program's path, or skips the test."""

    def find(name: str) -> str:
        beside = str(Path(sys.executable).with_name(name))
        found = shutil.which(beside) or shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed (pip install -e '.[docker]')")
        return found

    return find


def with_variables(text: str, given: Mapping[str, str]) -> str:
    """Replaces compose's variables by what is given, or by their defaults."""

    def value(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        if name in given:
            return given[name]
        assert operator == ":-", f"{name} has no default"
        return default

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def name_of(document: Document) -> str:
    """Returns an object's name; that of a job is only the beginning of one."""
    metadata = document["metadata"]
    return str(metadata.get("name", metadata.get("generateName")))


def templates_of(value: object, place: str = "") -> Iterator[tuple[str, Document]]:
    """Yields the pod templates below a value: what has containers, in `spec`."""
    if isinstance(value, dict):
        if isinstance(value.get("spec"), dict) and "containers" in value["spec"]:
            yield place, value
        else:
            for key, inner in value.items():
                yield from templates_of(inner, f"{place}/{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from templates_of(inner, f"{place}/{number}")
