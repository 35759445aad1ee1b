"""What the tests of the configuration share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from service.config.base import Config
from service.config.imagenet import ImageNetConfig
from service.config.loading import load

Load = Callable[..., ImageNetConfig]
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a YAML file of this name and text and returns its path."""

    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.fixture(scope="session")
def loaded() -> Load:
    """Loads the configuration from files (paths) and overrides (text), in the order given."""

    def load_all(*given: Path | str) -> ImageNetConfig:
        files = [item for item in given if isinstance(item, Path)]
        return load(ImageNetConfig, files, [item for item in given if isinstance(item, str)])

    return load_all


@dataclass(frozen=True)
class Leaf:
    """A field of the schema that holds a value, found without the code under test."""

    path: str
    field: FieldInfo
    choices: tuple[str, ...]
    """Overrides that make the field exist, such as `model.regularizer.kind=shakedrop`."""


@pytest.fixture(scope="session")
def leaves() -> list[Leaf]:
    """All leaves of the schema; one that several kinds have comes once for each."""
    return list(_leaves(ImageNetConfig, "", ()))


def _leaves(section: type[Config], prefix: str, choices: tuple[str, ...]) -> Iterator[Leaf]:
    for name, field in section.model_fields.items():
        path = prefix + name
        sections = [part for part in _members(field.annotation) if _is_section(part)]
        if not sections:
            yield Leaf(path, field, choices)
        for part in sections:
            kind = part.model_fields.get("kind")
            chosen = (f"{path}.kind={kind.default}",) if kind else ()
            yield from _leaves(part, f"{path}.", choices + chosen)


def _members(annotation: object) -> Iterator[type[Config]]:
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _members(part)
    else:
        yield annotation  # type: ignore[misc]  # the caller keeps sections only


def _is_section(part: object) -> bool:
    return isinstance(part, type) and issubclass(part, Config)
