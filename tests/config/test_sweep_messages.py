"""What a person reads after a mistake in a sweep file."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from service.config.errors import ConfigurationError
from service.config.sweep_files import load_sweep

Write = Callable[[str, str], Path]


def complaint(*overrides: str, files: tuple[Path, ...] = ()) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_sweep(files, overrides)
    return str(caught.value)


@pytest.mark.parametrize("given", ["cifarr", "null", "[cifar]", "{a: 1}", "3"])
def test_an_unknown_pipeline_is_told(given: str) -> None:
    value = repr(yaml.safe_load(given))
    expected = f"sweep.pipeline: must be one of imagenet, cifar, coco (got {value})"
    assert complaint(f"sweep.pipeline={given}") == expected


_VALUES = "list of true or false or whole number or number or text or null"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("kind: uniform, low: 2, high: 1", ": low must be below high (got low 2.0, high 1.0)"),
        ("kind: uniform, low: 1, high: 1", ": low must be below high (got low 1.0, high 1.0)"),
        ("kind: integer, low: 2, high: 1", ": low must be below high (got low 2, high 1)"),
        (
            "kind: log_uniform, low: 0.5, high: 0.1",
            ": low must be below high (got low 0.5, high 0.1)",
        ),
        ("kind: log_uniform, low: 0, high: 1", ".low: 0 is not allowed; allowed: number, > 0"),
        ("kind: uniform, low: x, high: 1", ".low: 'x' is not allowed; allowed: number"),
        ("kind: uniform, low: .nan, high: 1", ".low: nan is not allowed; allowed: number"),
        ("kind: uniform, low: 0, high: .inf", ".high: inf is not allowed; allowed: number"),
        ("kind: integer, low: 1.5, high: 3", ".low: 1.5 is not allowed; allowed: whole number"),
        (
            "kind: uniform, low: 0, high: 1, points: 1",
            ".points: 1 is not allowed; allowed: whole number ≥ 2 or null",
        ),
        ("kind: choice, values: []", f".values: [] is not allowed; allowed: {_VALUES}"),
        ("kind: choice, values: [[1]]", f".values: [[1]] is not allowed; allowed: {_VALUES}"),
        ("kind: choice, values: 3", f".values: 3 is not allowed; allowed: {_VALUES}"),
        (
            "kind: choice, values: [1], when: {c.d: 3}",
            f".when.c.d: 3 is not allowed; allowed: {_VALUES}",
        ),
        (
            "kind: uniformm, low: 1, high: 2",
            ".kind: must be one of choice, uniform, log_uniform, integer (got 'uniformm'); "
            "did you mean uniform?",
        ),
        (
            "low: 1, high: 2",
            ".kind: must be one of choice, uniform, log_uniform, integer (got None)",
        ),
    ],
)
def test_a_mistake_in_the_space_is_told_with_its_field(entry: str, message: str) -> None:
    """The searched field's own dots are part of the path."""
    assert complaint(f"sweep.space={{a.b: {{{entry}}}}}") == f"sweep.space.a.b{message}"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "kind: choice, values: [1], low: 3",
            "sweep.space.a.b.low: exists only with "
            "sweep.space.a.b.kind=uniform or log_uniform or integer",
        ),
        (
            "kind: integer, low: 0, high: 4, points: 2",
            "sweep.space.a.b.points: exists only with sweep.space.a.b.kind=uniform or log_uniform",
        ),
    ],
)
def test_a_field_of_another_distribution_is_told(entry: str, message: str) -> None:
    assert complaint(f"sweep.space={{a.b: {{{entry}}}}}") == message


def test_a_misspelt_field_of_a_distribution_leads_to_the_right_one() -> None:
    """Its neighbours in the same entry come before fields elsewhere."""
    told = complaint("sweep.space={a.b: {kind: choice, vlaues: [1], values: [1]}}")
    assert told.startswith(
        "unknown option 'sweep.space.a.b.vlaues': did you mean sweep.space.a.b.values"
    )


@pytest.mark.parametrize("value", ["3", "null", "[1]", "text"])
def test_an_entry_that_is_no_section_is_told(value: str) -> None:
    told = complaint(f"sweep.space={{a.b: {value}}}")
    assert told.startswith("sweep.space.a.b: is a section; set its fields, for example sweep.space")


def test_each_mistake_gets_a_line(write: Write) -> None:
    text = (
        "sweep:\n  space:\n    a.b: {kind: uniform, low: 3, high: 1}\n"
        "    a.c: {kind: choice, values: []}\n    a: {kind: integer, low: 0.5, high: 1}\n"
        "  trials: 0\n  keep: none\n"
    )
    lines = complaint(files=(write("bad.yaml", text),)).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        *("sweep.space.a.b", "sweep.space.a.c.values", "sweep.space.a.low"),
        *("sweep.trials", "sweep.keep"),
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "sweep.space=[1]",
            "sweep.space: [1] is not allowed; allowed: mapping of names to values or sections",
        ),
        ("sweep=3", "sweep: is a section; set its fields, for example sweep.pipeline=…"),
        (
            "sweep.search.kind=tpee",
            "sweep.search.kind: must be one of grid, random, tpe (got 'tpee'); did you mean tpe?",
        ),
        (
            "sweep.search.start_trials=4",
            "sweep.search.start_trials: exists only with sweep.search.kind=tpe",
        ),
        (
            "sweep.scheduler={kind: asha, reduction: 1}",
            "sweep.scheduler.reduction: 1 is not allowed; allowed: number, > 1",
        ),
        (
            "sweep.scheduler={kind: pbt, quantile: 0.6}",
            "sweep.scheduler.quantile: 0.6 is not allowed; allowed: number, > 0 and ≤ 0.5",
        ),
        ("sweep.trials=0", "sweep.trials: 0 is not allowed; allowed: auto or whole number ≥ 1"),
        (
            "sweep.budget.hours=0",
            "sweep.budget.hours: 0 is not allowed; allowed: number > 0 or null",
        ),
        ("swep.trials=1", "unknown option 'swep': did you mean sweep?"),
    ],
)
def test_a_mistake_elsewhere_is_told(override: str, message: str) -> None:
    assert complaint(override) == message
