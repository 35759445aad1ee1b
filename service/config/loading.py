"""From YAML files and overrides to one validated configuration."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from service.config.base import Config
from service.config.errors import ConfigurationError
from service.config.explaining import explain
from service.config.merging import Tree, merge

C = TypeVar("C", bound=Config)


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Builds a mapping after checking its keys."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def load(schema: type[C], files: Iterable[Path] = (), overrides: Sequence[str] = ()) -> C:
    """Builds a configuration from defaults, files and overrides, later ones on top.

    Args:
        schema: Class of the configuration.
        files: YAML files; each may name others to build on, `base: other.yaml`, relative to itself.
        overrides: Assignments such as `model.regularizer.p_l=0.25`; values are read as YAML.

    Raises:
        ConfigurationError: A file, key or value cannot be used; one line for each problem.
    """
    tree: Tree = schema().model_dump(mode="json")
    for file in files:
        tree = merge(schema, tree, read_file(schema, file))
    for override in overrides:
        tree = merge(schema, tree, parse_override(override))
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


def read_file(schema: type[Config], file: Path, above: tuple[Path, ...] = ()) -> Tree:
    """Reads a YAML file and what it builds on.

    Args:
        schema: Class of the configuration; says how files are laid over each other.
        file: The file.
        above: Files that led here by `base`.

    Raises:
        ConfigurationError: The file is missing, is not YAML, is not a mapping or builds on itself.
    """
    if file.resolve() in above:
        raise ConfigurationError(f"{file}: builds on itself by `base`; remove one of the two")
    tree = _read_mapping(file)
    bases = tree.pop("base", [])
    merged: Tree = {}
    for base in [bases] if isinstance(bases, str) else bases:
        below = read_file(schema, file.parent / str(base), (*above, file.resolve()))
        merged = merge(schema, merged, below)
    return merge(schema, merged, tree)


def parse_override(text: str) -> Tree:
    """Turns `a.b=1` into a nested mapping.

    Raises:
        ConfigurationError: There is no `=`, or the value is not YAML.
    """
    path, sign, value = text.partition("=")
    if not sign or not all(path.split(".")):
        raise ConfigurationError(f"'{text}' is not an option; write key.path=value")
    try:
        tree: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigurationError(f"{path}: cannot read '{value}'; put it in quotes") from None
    for key in reversed(path.split(".")):
        tree = {key: tree}
    return dict(tree)


def to_yaml(config: Config) -> str:
    """Writes a configuration as YAML that `load` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_mapping(file: Path) -> Tree:
    try:
        # The loader is a SafeLoader: it builds plain values only.
        tree = yaml.load(file.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}; name an existing YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
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
