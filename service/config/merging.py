"""Laying one configuration over another."""

from typing import Any

from pydantic.fields import FieldInfo

from service.config.base import Config
from service.config.fields import arms, chosen_arm, union_options

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
