"""What the schema says of each field: path, type, range, default, documentation."""

import types
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from service.config.base import Config
from service.config.durations import Duration


@dataclass(frozen=True)
class FieldDescription:
    """One leaf of the configuration."""

    path: str
    """Dotted path, such as `model.regularizer.p_l`."""
    type: str
    """Type with its range or choices."""
    default: str
    """Default as one writes it, or `required`."""
    doc: str
    """The field's documentation."""
    union: str = ""
    """Path of the choice the field depends on, such as `model.regularizer`; empty if on none."""
    kinds: tuple[str, ...] = ()
    """Kinds of that choice that have the field."""

    @property
    def condition(self) -> str:
        """What must be chosen for the field to exist: `model.regularizer.kind=shakedrop`."""
        return f"{self.union}.kind={' or '.join(self.kinds)}" if self.kinds else ""


def arms(field: FieldInfo) -> dict[str, type[Config]]:
    """Returns the configuration classes a field may hold, by their `kind`, if any.

    A field that holds a plain value has none.
    """
    found = {}
    for candidate in _members(field.annotation):
        if isinstance(candidate, type) and issubclass(candidate, Config):
            kind = candidate.model_fields.get("kind")
            found[str(kind.default) if kind else ""] = candidate
    return found


def chosen_arm(field: FieldInfo, value: object) -> type[Config] | None:
    """Returns the class that describes `value`, a mapping or an instance, in this field."""
    classes = arms(field)
    if len(classes) == 1:
        return next(iter(classes.values()))
    kind = value.get("kind", "") if isinstance(value, dict) else getattr(value, "kind", "")
    return classes.get(kind) if isinstance(kind, str) else None


def entry_field(field: FieldInfo) -> FieldInfo | None:
    """Returns what describes the values of a field that maps names to sections, if it does."""
    if get_origin(field.annotation) is not dict:
        return None
    return FieldInfo.from_annotation(get_args(field.annotation)[1])


def union_options(field: FieldInfo) -> dict[str, Any]:
    """Returns what the schema declares about changing the field's kind.

    `kept`: names of fields that survive it; `implied_kind`: the kind that a field's name implies.
    """
    extra = field.json_schema_extra
    return cast("dict[str, Any]", extra) if isinstance(extra, dict) else {}


def describe(default: Config) -> Iterator[FieldDescription]:
    """Yields every field below a default instance, those of other kinds included."""
    for name, field in type(default).model_fields.items():
        yield from _describe_field(
            FieldDescription(name, "", "", ""), field, getattr(default, name)
        )


def type_text(field: FieldInfo) -> str:
    """Returns the field's type with its choices and its range, as messages show it."""
    bounds = [text for item in field.metadata for text in _bounds(item)]
    text = _type_name(field.annotation)
    return f"{text}, {' and '.join(bounds)}" if bounds else text


def _describe_field(
    place: FieldDescription, field: FieldInfo, default: object
) -> Iterator[FieldDescription]:
    classes = arms(field)
    if not classes:
        doc = " ".join((field.description or "").split())
        yield replace(place, type=type_text(field), default=_written(default), doc=doc)
        entry = entry_field(field)
        if entry is not None and arms(entry):
            yield from _describe_choice(
                replace(place, path=f"{place.path}.<name>"), arms(entry), None, ()
            )
    elif "" in classes:
        cls = classes[""]
        for name, part in cls.model_fields.items():
            value = getattr(default, name, part.default)
            yield from _describe_field(replace(place, path=f"{place.path}.{name}"), part, value)
    else:
        kept = union_options(field).get("kept", ())
        yield from _describe_choice(place, classes, default, kept)


def _describe_choice(
    place: FieldDescription,
    classes: dict[str, type[Config]],
    default: object,
    kept: Collection[str],
) -> Iterator[FieldDescription]:
    chosen = str(getattr(default, "kind", next(iter(classes))))
    doc = " ".join((classes[chosen].model_fields["kind"].description or "").split())
    kind = replace(place, path=f"{place.path}.kind", default=chosen, doc=doc)
    yield replace(kind, type=" or ".join(classes))
    ordered = {chosen: classes[chosen]} | classes
    # Each field once for every default and every documentation it has, with the kinds that have it.
    seen: dict[tuple[str, str, str], tuple[FieldInfo, object, list[str]]] = {}
    for arm, cls in ordered.items():
        for name, part in cls.model_fields.items():
            if name != "kind":
                instance = default if arm == chosen or name in kept else None
                value = getattr(instance, name, part.get_default(call_default_factory=True))
                key = (name, repr(value), repr(part))
                seen.setdefault(key, (part, value, []))[2].append(arm)
    for (name, _, _), (part, value, kinds) in seen.items():
        below = replace(place, path=f"{place.path}.{name}")
        if len(kinds) < len(classes):
            below = replace(below, union=place.path, kinds=tuple(kinds))
        yield from _describe_field(below, part, value)


def _written(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(value) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_written(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _members(annotation: object) -> tuple[object, ...]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return tuple(member for part in get_args(annotation) for member in _members(part))
    return (annotation,)


def _type_name(annotation: object) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = [text for item in arguments[1:] for text in _bounds(item)]
        name = _type_name(arguments[0])
        return f"{name} {' and '.join(bounds)}" if bounds else name
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(member) for member in arguments)
    if origin is Literal:
        return " or ".join(str(choice) for choice in arguments)
    if origin is dict:
        return "mapping of names to values or sections"
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} times "
        return f"list of {count}{_type_name(arguments[0])}"
    if annotation is Duration:
        return "duration"
    names = {
        type(None): "null",
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
    }
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(constraint: object) -> Iterator[str]:
    if isinstance(constraint, FieldInfo):
        for item in constraint.metadata:
            yield from _bounds(item)
        return
    for attribute, words in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        bound = getattr(constraint, attribute, None)
        if bound is not None:
            yield f"{words} {bound:g}"
