"""From YAML files and overrides to one validated configuration."""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from service.config.base import Config
from service.config.errors import ConfigurationError
from service.config.explaining import explain
from service.config.merging import Tree, merge

C = TypeVar("C", bound=Config)


class _Loader(yaml.SafeLoader):
    """Builds plain values; refuses a key that stands twice, where YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Builds a mapping and checks its keys."""
        written = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        mapping = super().construct_mapping(node, deep=deep)
        seen: set[object] = set()
        for key_node in written:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return mapping


# A run may be called 2026-01-31 or 007: dates, and whole numbers that one would write back in
# another way, stay text.
_NAMES = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NAMES]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), list("-0123456789")
)


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
    for changes in (beneath or {}, *layers, *map(parse_override, overrides)):
        tree = merge(schema, tree, changes)
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
    if file.resolve() in above:
        raise ConfigurationError(f"{file}: builds on itself by `base`; remove one of the two")
    tree = _read_mapping(file)
    bases = tree.pop("base", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigurationError(f"{file}: base: {bases!r} names no file; write base: other.yaml")
    below = (read_layers(file.parent / base, (*above, file.resolve())) for base in bases)
    return [*chain.from_iterable(below), tree]


def parse_override(text: str) -> Tree:
    """Turns `a.b=1` into a nested mapping.

    Raises:
        ConfigurationError: There is no `=`, or the value is not YAML.
    """
    path, sign, value = text.partition("=")
    if not sign or not all(path.split(".")):
        raise ConfigurationError(f"{text!r} is not an option; write key.path=value")
    try:
        tree: Any = yaml.load(value, Loader=_Loader)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, ValueError):
        raise ConfigurationError(f"{path}: cannot read {value!r}; put it in quotes") from None
    for key in reversed(path.split(".")):
        tree = {key: tree}
    return dict(tree)


def to_yaml(config: Config) -> str:
    """Writes a configuration as YAML that `load` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_mapping(file: Path) -> Tree:
    try:
        text = file.read_text(encoding="utf-8")
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}; name an existing YAML file") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"{file}: not readable YAML: {_one_line(error)}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{file}: holds no mapping; write `key: value` lines")
    return {str(key): value for key, value in tree.items()}


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{problem}, line {mark.line + 1}" if mark else " ".join(str(problem).split())
