"""From YAML files and overrides to one validated configuration."""

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from service.config.base import Config
from service.config.errors import ConfigurationError
from service.config.explaining import explain
from service.config.merging import Tree, levels, merge, nested
from service.config.showing import one_line, shown
from service.config.yaml_reading import MOST_LEVELS, read_yaml

C = TypeVar("C", bound=Config)

_MOST_FILES = 20
"""Files that may build on each other in a row."""


def load(
    schema: type[C],
    files: Iterable[Path] = (),
    overrides: Sequence[str] = (),
    beneath: Tree | None = None,
) -> C:
    """Builds a configuration from defaults, files and overrides, later ones on top.

    Args:
        schema: Class of the configuration.
        files: YAML files; each may name others to build on, `base: other.yaml`, relative to itself.
        overrides: Assignments such as `model.regularizer.p_l=0.25`; values are read as YAML.
        beneath: What holds where no file and no override says otherwise.

    Raises:
        ConfigurationError: A file, key or value cannot be used; one line for each problem.
    """
    tree: Tree = schema().model_dump(mode="json")
    layers = [layer for file in files for layer in read_layers(file)]
    for changes in (beneath or {}, *layers):
        tree = merge(schema, tree, changes)
    for text in overrides:
        tree = merge(schema, tree, nested(schema, tree, *split_override(text)))
    return validate(schema, tree)


def validate(schema: type[C], tree: Tree) -> C:
    """Builds a configuration from a whole nested mapping.

    Raises:
        ConfigurationError: One line for each key or value that cannot be used.
    """
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        raise ConfigurationError(explain(schema, tree, error)) from None


def read_layers(file: Path, above: tuple[Path, ...] = ()) -> list[Tree]:
    """Reads a YAML file and what it builds on, lowest first.

    They are laid one by one over the whole configuration, because only there is it known which
    kind a file's fields belong to when the file itself does not say.

    Args:
        file: The file.
        above: Files that led here by `base`.

    Raises:
        ConfigurationError: The file is missing, is not YAML, is not a mapping or builds on itself.
    """
    tree = read_mapping(file)
    # Only of a file that could be read: a link that leads to itself has no end.
    here = file.resolve()
    if here in above:
        raise ConfigurationError(f"{file}: builds on itself by `base`; remove one of the two")
    if len(above) >= _MOST_FILES:
        raise ConfigurationError(f"{file}: more than {_MOST_FILES} files in a row, each a `base`")
    bases = tree.pop("base", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(map(_may_name_a_file, bases)):
        raise ConfigurationError(
            f"{file}: base: {shown(bases)} names no file; write base: other.yaml"
        )
    below = (read_layers(file.parent / base, (*above, here)) for base in bases)
    return [*chain.from_iterable(below), tree]


def split_override(text: str) -> tuple[list[str], object]:
    """Returns the keys and the value of `a.b=1`.

    Raises:
        ConfigurationError: There is no `=`, or the value is not YAML.
    """
    path, sign, value = text.partition("=")
    keys = path.split(".")
    if not sign or not all(keys) or len(keys) > MOST_LEVELS:
        raise ConfigurationError(f"{shown(text)} is not an option; write key.path=value")
    try:
        return keys, read_yaml(value)
    except ValueError:
        raise ConfigurationError(
            f"{one_line(path)}: cannot read {shown(value)}; put it in quotes"
        ) from None


def parse_override(text: str) -> Tree:
    """Turns `a.b=1` into a nested mapping.

    Raises:
        ConfigurationError: There is no `=`, or the value is not YAML.
    """
    return levels(*split_override(text))


def to_yaml(config: Config) -> str:
    """Writes a configuration as YAML that `load` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_mapping(file: Path) -> Tree:
    """Reads a YAML file alone, without what it builds on.

    Raises:
        ConfigurationError: The file is missing, is not YAML or is not a mapping.
    """
    name = one_line(file)
    try:
        tree = read_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{name}: {error.strerror}; name an existing YAML file") from None
    except ValueError as error:
        raise ConfigurationError(f"{name}: not readable YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{name}: holds no mapping; write `key: value` lines")
    return {str(key): value for key, value in tree.items()}


def _may_name_a_file(base: object) -> bool:
    try:
        return isinstance(base, str) and b"\0" not in os.fsencode(base)
    except UnicodeEncodeError:
        return False
