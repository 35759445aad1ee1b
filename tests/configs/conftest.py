"""What the tests of the recipes share."""

import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from service.config.cifar import CIFARConfig
from service.config.command_line import Command, parse_command
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.config.run import RunConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def command() -> Callable[[Path], Command]:
    """Reads the launch command in a file's first line."""
    return _command


@pytest.fixture
def recipe() -> Callable[[str], ImageNetConfig]:
    """Loads what the launch command of a file in configs/imagenet trains, by its name."""
    return _imagenet_recipe


@pytest.fixture
def cifar_recipe() -> Callable[[str], CIFARConfig]:
    """Loads what the launch command of a file in configs/cifar trains, by its name."""
    return _cifar_recipe


@pytest.fixture
def differing() -> Callable[[RunConfig, RunConfig], set[str]]:
    """Names where two recipes differ, to two names of each path, their expectations apart."""
    return _differing


def _command(file: Path) -> Command:
    line = file.read_text("utf-8").splitlines()[0]
    comment, program, pipeline, *arguments = shlex.split(line)
    assert (comment, program) == ("#", "python")
    assert pipeline == f"pipelines/{file.parts[1]}.py"
    assert Path(pipeline).is_file()
    return parse_command(arguments, ["resume", "local"])


@cache
def _imagenet_recipe(name: str) -> ImageNetConfig:
    file = Path("configs/imagenet", f"{name}.yaml")
    given = _command(file)
    return load(ImageNetConfig, given.files or [file], given.overrides)


@cache
def _cifar_recipe(name: str) -> CIFARConfig:
    given = _command(Path("configs/cifar", f"{name}.yaml"))
    return load(CIFARConfig, given.files, given.overrides)


def _differing(first: RunConfig, second: RunConfig) -> set[str]:
    leaves = set(_flat(first.model_dump())) ^ set(_flat(second.model_dump()))
    paths = [path.split(".") for path, _ in leaves]
    return {".".join(path[:2]) for path in paths if path[0] != "expected"}


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yields the dotted path and the value of each leaf."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
