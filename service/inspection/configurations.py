"""The configuration that a run keeps: its values, and those that are not the defaults."""

from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from service.cluster.runs import CONFIG
from service.config.base import Config
from service.config.fields import arms, chosen_arm, union_options
from service.config.loading import read_mapping, validate
from service.config.merging import Tree
from service.config.run import RunConfig
from service.config.sweep_files import RECIPES
from service.inspection.folders import Place

Leaves = dict[str, Any]
"""Values by their dotted paths."""


def kept_tree(place: Place) -> Tree:
    """Returns the configuration in a run's folder as it stands there.

    Raises:
        ConfigurationError: It is missing, or no YAML.
    """
    return read_mapping(place.folder / CONFIG)


def validated(tree: Tree) -> RunConfig:
    """Returns a kept configuration as this version reads it.

    Raises:
        ConfigurationError: It is of another version; one line for each problem.
    """
    return validate(schema_of(tree), tree)


def schema_of(tree: Tree) -> type[RunConfig]:
    """Returns the class of a kept configuration: that whose network and data it names."""
    named = {section: _kind(tree, section) for section in ("model", "data")}
    for schema in RECIPES.values():
        if all(kind in arms(schema.model_fields[section]) for section, kind in named.items()):
            return schema
    return RunConfig


def leaves(tree: object, path: str = "") -> Leaves:
    """Returns the values of a tree by their dotted paths."""
    return dict(_leaves(tree, path))


def differences(tree: Tree) -> Leaves:
    """Returns the values of a kept configuration that are not the defaults of its kinds."""
    schema = schema_of(tree)
    defaults = leaves(_defaults(schema, tree, _plain(schema)))
    return {
        path: value
        for path, value in leaves(tree).items()
        if path not in defaults or defaults[path] != value
    }


def _leaves(tree: object, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, dict) or not tree:
        yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _defaults(schema: type[Config], tree: Tree, plain: Tree) -> Tree:
    """Returns the defaults of the kinds that a tree chooses; a required field has none.

    Args:
        schema: Class that describes the tree.
        tree: A kept configuration, or a section of one.
        plain: The defaults of the class, or of the instance that the section begins with.
    """
    found = dict(plain)
    for name, field in schema.model_fields.items():
        part = tree.get(name)
        arm = chosen_arm(field, part) if arms(field) and isinstance(part, dict) else None
        if arm is None or not isinstance(part, dict):
            continue
        usual = plain.get(name)
        below = usual if isinstance(usual, dict) else {}
        if usual is None or below.get("kind") != part.get("kind"):
            below = _of_another_kind(field, arm, below)
        found[name] = _defaults(arm, part, below)
    return found


def _of_another_kind(field: FieldInfo, arm: type[Config], usual: Tree) -> Tree:
    """Returns the defaults of a kind that is not the usual one, without the kind, which is told."""
    kept = set(union_options(field).get("kept", ())) & set(arm.model_fields)
    own = {name: value for name, value in _plain(arm).items() if name != "kind"}
    return own | {name: value for name, value in usual.items() if name in kept}


def _plain(schema: type[Config]) -> Tree:
    return schema.model_construct().model_dump(mode="json")


def _kind(tree: Tree, section: str) -> str:
    part = tree.get(section)
    return str(part.get("kind")) if isinstance(part, dict) else ""
