"""`--help` shows every field with its type, range, default and documentation."""

import re
from collections.abc import Callable
from functools import reduce
from typing import Any, Literal, get_args, get_origin

import pytest

from service.config.command_line import help_text
from service.config.imagenet import ImageNetConfig

Load = Callable[..., ImageNetConfig]
SWITCHES = {"help": "show this", "resume": "go on"}


def shown(default: ImageNetConfig) -> dict[str, list[tuple[str, str]]]:
    """Returns what the help says of each path: default and explanation, once for each kind."""
    text = help_text("Trains.", "python train.py", SWITCHES, default)
    entries: dict[str, list[tuple[str, str]]] = {}
    for path, value, explanation in re.findall(r"^  ([\w.]+)=(.*)\n      (.*)$", text, re.M):
        entries.setdefault(path, []).append((value, explanation))
    return entries


def test_every_leaf_stands_there_with_its_documentation(leaves: list[Any]) -> None:
    entries = shown(ImageNetConfig())
    assert set(entries) == {leaf.path for leaf in leaves}
    for leaf in leaves:
        assert leaf.field.description, leaf.path
        documentation = " ".join(leaf.field.description.split())
        explanations = [explanation for _, explanation in entries[leaf.path]]
        assert any(text.startswith(f"{documentation} (") for text in explanations), leaf.path


def test_every_range_and_every_choice_is_told(leaves: list[Any]) -> None:
    entries = shown(ImageNetConfig())
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    for leaf in leaves:
        told = " ".join(explanation for _, explanation in entries[leaf.path])
        for constraint in leaf.field.metadata:
            for name, sign in signs.items():
                bound = getattr(constraint, name, None)
                assert bound is None or f"{sign} {bound:g}" in told, leaf.path
        if get_origin(leaf.field.annotation) is Literal:
            assert all(str(choice) in told for choice in get_args(leaf.field.annotation)), leaf.path


def test_the_default_that_is_shown_is_the_one_that_holds(leaves: list[Any], loaded: Load) -> None:
    entries = shown(ImageNetConfig())
    for leaf in leaves:
        if leaf.path == "data.root" or leaf.path.startswith("expected."):
            continue  # what is required has no default
        choices = [choice for choice in leaf.choices if not choice.startswith(f"{leaf.path}=")]
        if not {"data.kind=folder", "data.kind=shards"}.isdisjoint(choices):
            choices.append("data.root=/x")
        told = [default for default, text in entries[leaf.path] if _applies(text, leaf.choices)]
        assert len(told) == 1, leaf.path
        held = _value_at(loaded(*choices), leaf.path)
        again = _value_at(loaded(*choices, f"{leaf.path}={told[0]}"), leaf.path)
        # The help shows six digits.
        assert again == (pytest.approx(held, rel=1e-5) if isinstance(held, float) else held), (
            leaf.path
        )


def _value_at(config: ImageNetConfig, path: str) -> object:
    return reduce(getattr, path.split("."), config)


def _applies(explanation: str, choices: tuple[str, ...]) -> bool:
    """Whether these choices fulfil the condition at the explanation's end, if there is one."""
    condition = re.search(r"; with ([\w.]+\.kind)=(.*)\)$", explanation)
    if condition is None:
        return True
    return any(f"{condition[1]}={kind}" in choices for kind in condition[2].split(" or "))


def test_defaults_are_those_of_the_configuration_and_not_of_its_classes(loaded: Load) -> None:
    config = loaded(
        "model.regularizer={p_l: 0.75, beta: {low: 0.25}}", "optimizer={kind: lamb, lr: 1}"
    )
    entries = shown(config)
    assert entries["model.regularizer.p_l"][0][0] == "0.75"
    assert entries["model.regularizer.beta.low"][0][0] == "0.25"
    assert [value for value, _ in entries["optimizer.lr"]] == ["1", "0.1", "0.001"]
    assert entries["optimizer.kind"][0][0] == "lamb"


def test_required_fields_say_so() -> None:
    entries = shown(ImageNetConfig())
    assert [value for value, _ in entries["data.root"]] == ["required", "required"]
    assert entries["data.root"][0][1].endswith(" (text; with data.kind=folder)")


def test_what_a_change_of_source_keeps_is_shown_as_kept(loaded: Load) -> None:
    entries = shown(loaded("data.train.size=48"))
    assert [value for value, _ in entries["data.train.size"]] == ["48"]
    assert loaded("data.train.size=48", "data.root=/x").data.train.size == 48


def test_summary_example_and_switches_open_the_help() -> None:
    lines = help_text("Trains.", "python train.py", SWITCHES, ImageNetConfig()).splitlines()
    assert lines[:3] == ["Trains.", "", "  python train.py"]
    assert any(line.startswith("  --config FILE") for line in lines)
    for name, text in SWITCHES.items():
        assert any(line.split() == [f"--{name}", *text.split()] for line in lines)
