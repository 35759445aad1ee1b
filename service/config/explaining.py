"""Validation errors as a person wants to read them: key, value, what is allowed, a hint."""

import difflib
from dataclasses import replace

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from service.config.base import Config
from service.config.errors import SecretError
from service.config.fields import (
    FieldDescription,
    arms,
    chosen_arm,
    describe,
    entry_field,
    type_text,
)
from service.config.merging import Tree
from service.config.showing import one_line, shown

_LONGEST = 2000  # characters of a line


def explain(schema: type[Config], tree: Tree, error: ValidationError) -> str:
    """Returns one line for each problem in a tree that failed validation."""
    found = (_explain_one(schema, tree, details) for details in error.errors())
    # What a file calls its keys is in the paths.
    return "\n".join(dict.fromkeys(one_line(line, _LONGEST) for line in found))


def _explain_one(schema: type[Config], tree: Tree, details: ErrorDetails) -> str:
    kind = details["type"]
    inner = (details["ctx"]["name"],) if kind == "truth_value" else ()
    path, field = _locate(schema, tree, (*details["loc"], *inner))
    if kind in ("extra_forbidden", "invalid_key"):
        return _unknown(schema, tree, path)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_kind(path, field, details)
    if kind == "value_error":
        message = details["msg"].removeprefix("Value error, ")
        hidden = isinstance(details["input"], dict) or isinstance(
            details.get("ctx", {}).get("error"), SecretError
        )
        given = "" if hidden else f" (got {shown(details['input'])})"
        return f"{path}: {message}{given}" if path else message
    if field is not None and arms(field):
        return f"{path}: is a section; set its fields, for example {path}.{_first_field(field)}=…"
    if kind == "missing" and _value_at(tree, path) is None:
        return f"{path}: is required; give it with {path}=…"
    allowed = type_text(field) if field is not None else details["msg"]
    return f"{path}: {shown(_value_at(tree, path))} is not allowed; allowed: {allowed}"


def _first_field(field: FieldInfo) -> str:
    return next(iter(next(iter(arms(field).values())).model_fields))


def _value_at(tree: object, path: str) -> object:
    """Returns what stands at a dotted path; a mapping's own keys may hold dots."""
    while path and isinstance(tree, dict):
        parts = path.split(".")
        heads = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
        head = next((head for head in heads if head in tree), None)
        if head is None:
            return None
        tree, path = tree[head], path[len(head) + 1 :]
    return None if path else tree


def _locate(
    schema: type[Config], tree: object, location: tuple[int | str, ...]
) -> tuple[str, FieldInfo | None]:
    """Returns the dotted path, without pydantic's union tags, and its field."""
    names: list[str] = []
    current: type[Config] | None = schema
    field: FieldInfo | None = None
    value = tree
    for part in location:
        if current is not None and part in current.model_fields:
            field = current.model_fields[str(part)]
        elif current is None and field is not None and entry_field(field) is not None:
            field = entry_field(field)
        elif field is not None and current is not None and current in arms(field).values():
            if part in arms(field) and not (isinstance(value, dict) and part in value):
                continue
            field = None
        elif names and field is not None:
            # Deeper than a leaf: an item of a list, or pydantic's name for an alternative.
            continue
        names.append(str(part))
        value = value.get(part) if isinstance(value, dict) else None
        current = chosen_arm(field, value) if field is not None else None
    return ".".join(names), field


def _unknown(schema: type[Config], tree: Tree, path: str) -> str:
    name = path.rsplit(".", 1)[-1]
    descriptions = [_in_place(field, tree, path) for field in describe(schema())]
    # A section of another kind, such as ShakeDrop's alpha, shows by the fields below it.
    same = [d for d in descriptions if f"{d.path}.".startswith(f"{path}.")]
    known = [d.path for d in descriptions if _exists(tree, d)]
    if path in known:
        return f"unknown option '{path}': in a file, give each section a level of its own"
    kinds = dict.fromkeys(kind for d in same for kind in d.kinds)
    if kinds:
        return f"{path}: exists only with {same[0].union}.kind={' or '.join(kinds)}"
    known += [name for name in schema.model_fields if name not in known]
    by_path = difflib.get_close_matches(path, known, n=2, cutoff=0.75)
    by_name = [
        k for k in known if difflib.SequenceMatcher(None, name, k.rsplit(".", 1)[-1]).ratio() > 0.7
    ]
    siblings = [k for k in known if k.rsplit(".", 1)[0] == path.rsplit(".", 1)[0]]
    suggestions = list(
        dict.fromkeys([k for k in by_name if k in siblings and "." in path] + by_path + by_name)
    )[:3]
    hint = (
        f"did you mean {' or '.join(suggestions)}?" if suggestions else "see --help for all options"
    )
    return f"unknown option '{path}': {hint}"


def _in_place(field: FieldDescription, tree: Tree, path: str) -> FieldDescription:
    """Returns a field of a mapping's sections as one of the section that a path leads into."""
    mapping, sign, _ = field.path.partition(".<name>")
    entries = _value_at(tree, mapping) if sign else None
    for name in entries if isinstance(entries, dict) else ():
        if path.startswith(f"{mapping}.{name}."):
            place, union = (text.replace("<name>", name) for text in (field.path, field.union))
            return replace(field, path=place, union=union)
    return field


def _unknown_kind(path: str, field: FieldInfo | None, details: ErrorDetails) -> str:
    given = details["input"].get("kind") if isinstance(details["input"], dict) else details["input"]
    kinds = list(arms(field)) if field is not None else []
    close = difflib.get_close_matches(given, kinds, n=1) if isinstance(given, str) else []
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{path}.kind: must be one of {', '.join(kinds)} (got {shown(given)}){hint}"


def _exists(tree: object, field: FieldDescription) -> bool:
    return not field.kinds or _value_at(tree, f"{field.union}.kind") in field.kinds
