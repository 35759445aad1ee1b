"""What the tests of the recipes share."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from service.config.command_line import Command, parse_command
from service.config.imagenet import ImageNetConfig
from service.config.loading import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def command() -> Callable[[Path], Command]:
    """Reads the launch command in a file's first line."""

    def read(file: Path) -> Command:
        line = file.read_text("utf-8").splitlines()[0]
        comment, program, pipeline, *arguments = shlex.split(line)
        assert (comment, program) == ("#", "python")
        assert Path(pipeline).is_file()
        return parse_command(arguments, ["resume", "local"])

    return read


@pytest.fixture
def recipe(command: Callable[[Path], Command]) -> Callable[[str], ImageNetConfig]:
    """Loads what the launch command of a file in configs/imagenet trains, by its name."""

    def loaded(name: str) -> ImageNetConfig:
        file = Path("configs/imagenet", f"{name}.yaml")
        given = command(file)
        return load(ImageNetConfig, given.files or [file], given.overrides)

    return loaded
