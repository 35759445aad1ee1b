"""Laying one configuration over another."""

from collections.abc import Sequence
from typing import Any

from pydantic.fields import FieldInfo

from service.config.base import Config
from service.config.fields import arms, chosen_arm, entry_field, union_options

Tree = dict[str, Any]


def merge(schema: type[Config], tree: Tree, changes: Tree) -> Tree:
    """Returns `tree` with `changes` laid over it.

    A change of `kind` replaces what the old kind had, so that no field of it lingers; fields that
    the schema declares as kept stay. Keys that the schema does not know are laid over as they are:
    validation names them.

    Args:
        schema: Class that describes the tree.
        tree: Nested mapping below.
        changes: Nested mapping on top.
    """
    merged = dict(tree)
    for key, value in changes.items():
        field = schema.model_fields.get(key)
        old = tree.get(key)
        if field is not None and isinstance(value, dict) and isinstance(old, dict):
            merged[key] = _merge_part(field, old, value)
        else:
            merged[key] = value
    return merged


def levels(keys: Sequence[str], value: object) -> Tree:
    """Returns a mapping in a mapping for each of at least one key."""
    tree: Tree = {keys[-1]: value}
    for key in reversed(keys[:-1]):
        tree = {key: tree}
    return tree


def nested(schema: type[Config], tree: Tree, keys: Sequence[str], value: object) -> Tree:
    """Returns the changes that set one value by its dotted path, to be merged into `tree`.

    A section with names of its own, such as `sweep.space`, keeps its other entries: its names hold
    dots themselves, so that of `sweep.space.model.regularizer.p_l.low` it knows the first part.

    Args:
        schema: Class that describes the tree.
        tree: Nested mapping below.
        keys: Parts of the path.
        value: What stands there.
    """
    key, *below = keys
    field = schema.model_fields.get(key)
    if not below or field is None:
        return levels(keys, value)
    old, entry = _mapping(tree.get(key)), entry_field(field)
    if entry is not None:
        return {key: old | _entry(entry, old, below, value)}
    return {key: _in_section(field, old, below, value)}


def _entry(field: FieldInfo, entries: Tree, keys: Sequence[str], value: object) -> Tree:
    """Returns the one entry of a section with names of its own that a path leads to."""
    whole = len(keys)
    found = (count for count in range(whole, 0, -1) if ".".join(keys[:count]) in entries)
    in_a_section = any(keys[-1] in arm.model_fields for arm in arms(field).values())
    count = next(found, whole - 1 if in_a_section and whole > 1 else whole)
    name, below = ".".join(keys[:count]), keys[count:]
    if not below:
        return {name: value}
    old = _mapping(entries.get(name))
    return {name: _merge_part(field, old, _in_section(field, old, below, value))}


def _in_section(field: FieldInfo, old: Tree, keys: Sequence[str], value: object) -> Tree:
    section = chosen_arm(field, old)
    return levels(keys, value) if section is None else nested(section, old, keys, value)


def _mapping(value: object) -> Tree:
    return value if isinstance(value, dict) else {}


def _merge_part(field: FieldInfo, old: Tree, changes: Tree) -> Tree:
    if not arms(field):
        return changes
    kind = changes.get("kind", _implied_kind(field, old, changes))
    if kind is not None and kind != old.get("kind"):
        arm = chosen_arm(field, {"kind": kind})
        kept = set(union_options(field).get("kept", ())) & set(arm.model_fields if arm else ())
        sections = _default_sections(arm) if arm else {}
        old = {"kind": kind} | sections | {k: value for k, value in old.items() if k in kept}
    schema = chosen_arm(field, old)
    return merge(schema, old, changes) if schema else old | changes


def _default_sections(schema: type[Config]) -> Tree:
    """Returns the sections a kind begins with, so that one field of them can be changed alone."""
    defaults = {name: part.default for name, part in schema.model_fields.items()}
    return {
        name: default.model_dump(mode="json")
        for name, default in defaults.items()
        if isinstance(default, Config)
    }


def _implied_kind(field: FieldInfo, old: Tree, changes: Tree) -> str | None:
    current = chosen_arm(field, old)
    for key, kind in union_options(field).get("implied_kind", {}).items():
        if key in changes and current is not None and key not in current.model_fields:
            return str(kind)
    return None
