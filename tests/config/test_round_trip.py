"""A written configuration is a file that loads back to an equal one."""

import json
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from service.config.durations import Duration, parse_duration
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import to_yaml

Load = Callable[..., ImageNetConfig]
Assignments = st.SearchStrategy[list[tuple[Any, Any]]]

_DURATIONS = st.one_of(
    st.integers(min_value=0, max_value=10**9).map("{}st".format),
    st.floats(min_value=0, max_value=1e4).map(lambda value: f"{abs(value)!r}ep"),
    st.floats(min_value=0, max_value=1).map(lambda value: f"{abs(value)!r}run"),
)
# Everything that can be printed, the lone halves of surrogate pairs excepted.
_TEXT = st.text(st.characters(exclude_categories=["C"]))
# Values that a section refuses, alone or in each other's company, by what its message says.
_COMPANY = (
    "must not exceed",
    "must lie in",
    "must be positive",
    "length of the run itself",
    "describe bottlenecks",
    "needs group_width",
    "depth must be",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("written") / "config.yaml"


@pytest.fixture(scope="module")
def assignments(leaves: list[Any]) -> Assignments:
    """Some leaves, each with a value that it may hold."""
    of_leaf = [values(leaf.field.annotation, tuple(leaf.field.metadata)) for leaf in leaves]

    # A function of its own, so that a failure shows its name and not all the strategies.
    @st.composite
    def some(draw: st.DrawFn) -> list[tuple[Any, Any]]:
        chosen = draw(st.lists(st.integers(0, len(leaves) - 1), min_size=1, max_size=4))
        return [(leaves[index], draw(of_leaf[index])) for index in chosen]

    return some()


def required(path: str, choices: tuple[str, ...]) -> list[str]:
    """Returns overrides for the fields without which a leaf's section is not complete."""
    if path.startswith("data.") and "data.kind=drawn" not in choices:
        return ["data.root=/x"]
    return ["expected={value: 1, source: x}"] if path.startswith("expected.") else []


def values(annotation: object, constraints: tuple[object, ...] = ()) -> st.SearchStrategy[Any]:
    """Returns values that a field of this type may hold."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        return st.one_of([values(part) for part in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*[values(part) for part in arguments]).map(list)
    if annotation in (int, float):
        return numbers(annotation is int, constraints)
    plain = {bool: st.booleans(), str: _TEXT, NoneType: st.none(), Duration: _DURATIONS}
    return plain[annotation]  # type: ignore[index]  # a type this test does not know fails it


def numbers(whole: bool, constraints: tuple[object, ...]) -> st.SearchStrategy[Any]:
    bounds: dict[str, float] = {}
    for item in constraints:
        for constraint in item.metadata if isinstance(item, FieldInfo) else (item,):
            found = {name: getattr(constraint, name, None) for name in ("ge", "gt", "le", "lt")}
            bounds |= {name: bound for name, bound in found.items() if bound is not None}
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if whole:
        assert not {"gt", "lt"} & set(bounds)
        return st.integers(low, high)  # type: ignore[arg-type]  # whole fields have whole bounds
    return st.floats(
        low,
        high,
        exclude_min="gt" in bounds,
        exclude_max="lt" in bounds,
        allow_nan=False,
        allow_infinity=False,
    )


def valued(value: object) -> object:
    """Returns a value as the configuration holds it."""
    if isinstance(value, list):
        return tuple(valued(item) for item in value)
    return value


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_values_are_taken_written_and_read_back(
    loaded: Load, assignments: Assignments, file: Path, data: st.DataObject
) -> None:
    overrides: list[str] = []
    for leaf, value in data.draw(assignments):
        written = json.dumps(value, ensure_ascii=False)
        overrides += [*required(leaf.path, leaf.choices), *leaf.choices, f"{leaf.path}={written}"]
    try:
        config = loaded(*overrides)
    except ConfigurationError as error:
        if any(words in str(error) for words in _COMPANY):
            reject()
        raise
    held = reduce(getattr, leaf.path.split("."), config)
    expected = valued(value)
    if "duration" in repr(leaf.field.annotation).lower():
        whole = isinstance(value, list)
        expected = tuple(map(parse_duration, value)) if whole else parse_duration(value)
    assert held == expected
    file.write_text(to_yaml(config), encoding="utf-8")
    assert loaded(file) == config


@pytest.mark.parametrize(
    "override",
    [
        "training.duration=1234567st",
        "training.duration=0.123456789ep",
        "optimizer.weight_decay=3.0517578125e-5",
        "name='no'",
        "name='1e-3'",
        "name='2024-01-01'",
        "name='null'",
        'name="two\\nlines"',
        "name=ß → α",
    ],
)
def test_no_digit_and_no_quote_is_lost(loaded: Load, file: Path, override: str) -> None:
    config = loaded(override)
    assert config != loaded()
    file.write_text(to_yaml(config), encoding="utf-8")
    assert loaded(file) == config


def test_a_written_configuration_stands_above_what_is_below_it(loaded: Load, file: Path) -> None:
    config = loaded("optimizer.kind=adamw", "data.root=/x", "model.regularizer.kind=none")
    file.write_text(to_yaml(config), encoding="utf-8")
    other = file.with_name("other.yaml")
    other.write_text("optimizer: {kind: lamb, eps: 0.5}\ndata: {kind: shards, root: /y}")
    assert loaded(other, file) == config
