"""Whatever is given for fields: a configuration, or lines that say what is wrong."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hostile_yaml import HOSTILE, LAUGHS, lines_of, outcome, properties, texts
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.config.base import Config
from service.config.cifar import CIFARConfig
from service.config.coco import COCOConfig
from service.config.command_line import Command, parse_command
from service.config.errors import ConfigurationError
from service.config.fields import describe
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, parse_override, to_yaml
from service.config.yaml_reading import read_yaml

SCHEMAS: tuple[type[Config], ...] = (ImageNetConfig, CIFARConfig, COCOConfig)
LEAVES = [
    (schema, field.path, field.condition.split(" or ")[0])
    for schema in SCHEMAS
    for field in describe(schema())
]
# A section's own path takes values too: most of them are refused.
PATHS = sorted({path for _, path, _ in LEAVES} | {p.rpartition(".")[0] for _, p, _ in LEAVES})


def loaded(schema: type[Config], overrides: Sequence[str]) -> Config | list[str]:
    return outcome(lambda: load(schema, (), overrides))


def company(path: str, condition: str) -> list[str]:
    """Returns overrides under which a field exists and nothing else is missing."""
    if path.startswith("expected."):
        return ["expected={value: 1, source: x}"]
    rootless = not condition.startswith("data.kind=") or condition.endswith("=drawn")
    return [*([condition] if condition else []), *([] if rootless else ["data.root=/x"])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configuration")


@pytest.fixture(autouse=True)
def _nothing_is_executed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@settings(properties, max_examples=250)
@given(st.sampled_from(LEAVES), texts)
@example((ImageNetConfig, "name", ""), LAUGHS)
@example((ImageNetConfig, "model.regularizer.kind", ""), LAUGHS)
@example((ImageNetConfig, "training.duration", ""), LAUGHS)
def test_any_text_for_any_field_is_a_configuration_or_a_line_that_names_the_field(
    folder: Path, leaf: tuple[type[Config], str, str], text: str
) -> None:
    schema, path, condition = leaf
    found = loaded(schema, [*company(path, condition), f"{path}={text}"])
    if isinstance(found, list):
        # Values that do not fit together are refused by a line about their section.
        keys = path.split(".")
        section = ".".join(keys[: max(1, len(keys) - 2)])
        assert any(section in line for line in found)
        assert any(key in line for line in found for key in keys[-2:])
    else:
        file = folder / "written.yaml"
        file.write_text(to_yaml(found), encoding="utf-8")
        assert load(schema, [file]) == found
    assert not Path("canary").exists()


@settings(properties, max_examples=150)
@given(
    st.sampled_from(SCHEMAS),
    st.lists(st.tuples(st.one_of(st.sampled_from(PATHS), st.text(max_size=8)), texts), max_size=3),
)
def test_any_assignments_are_a_configuration_or_lines(
    schema: type[Config], assignments: list[tuple[str, str]]
) -> None:
    assert loaded(schema, [f"{path}={text}" for path, text in assignments])


def test_nothing_of_the_environment_enters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEST", "value")
    for text in ("$SECRET_OF_THE_TEST", "${SECRET_OF_THE_TEST}", "%(SECRET_OF_THE_TEST)s", "~"):
        config = load(ImageNetConfig, (), [f"storage.path='{text}'"])
        assert config.storage.path == text


def test_a_path_of_many_levels_is_refused_in_one_line() -> None:
    levels = ".".join("x" * 5000)
    deep = ".".join("x" * 40)
    kinds = (f"model.regularizer.kind.{some}" for some in (deep, levels))
    for path in (deep, levels, f"name.{deep}", f"model.{deep}", *kinds):
        with pytest.raises(ConfigurationError) as caught:
            load(ImageNetConfig, (), [f"{path}=1"])
        lines_of(caught.value)


@settings(properties, max_examples=200)
@given(
    st.lists(st.one_of(st.sampled_from(["--config", "--resume", "-h", "--"]), texts), max_size=5)
)
def test_any_command_line_is_taken_or_refused_in_one_line(arguments: list[str]) -> None:
    command = outcome(lambda: parse_command(arguments, ["resume", "local"]))
    if isinstance(command, Command):
        for override in command.overrides:
            outcome(lambda override=override: parse_override(override))
    else:
        assert len(command) == 1


PLAIN = (str, int, float, bool, type(None), list, dict)


@settings(properties, max_examples=200)
@given(texts)
def test_what_is_read_is_made_of_plain_values(text: str) -> None:
    try:
        waiting = [read_yaml(text)]
    except ValueError:
        return
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        assert type(value) in PLAIN
        if isinstance(value, list | dict) and id(value) not in seen:
            seen.add(id(value))
            waiting += [*value, *(value.values() if isinstance(value, dict) else ())]


def test_hostile_values_leave_nothing_behind(folder: Path) -> None:
    before = set(os.listdir(folder))
    for text in HOSTILE:
        for path in ("name", "model"):
            loaded(ImageNetConfig, [f"{path}={text}"])
    assert set(os.listdir(folder)) == before
