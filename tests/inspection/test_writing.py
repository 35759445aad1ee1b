"""Tables and numbers as people and programs read them."""

import csv
import json
import math

import pytest

from service.inspection.writing import bytes_text, time_text, written

ROWS = [
    {"name": 'a "run", of mine', "top1": 71.25, "epochs": 90},
    {"name": "b\nrun", "top1": math.nan},
]
COLUMNS = ("name", "top1", "epochs")


def test_a_table_is_aligned_and_holds_a_row_in_a_line() -> None:
    assert written(ROWS, COLUMNS, "table").splitlines() == [
        "name               top1  epochs",
        'a "run", of mine  71.25      90',
        r"b\nrun                –       –",
    ]


def test_programs_get_every_value_back() -> None:
    assert json.loads(written(ROWS, COLUMNS, "json")) == [
        {"name": 'a "run", of mine', "top1": 71.25, "epochs": 90},
        {"name": "b\nrun", "top1": None, "epochs": None},
    ]
    assert list(csv.reader(written(ROWS, COLUMNS, "csv").splitlines(keepends=True))) == [
        ["name", "top1", "epochs"],
        ['a "run", of mine', "71.25", "90"],
        ["b\nrun", "", ""],
    ]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB")]
)
def test_sizes(size: float, text: str) -> None:
    assert bytes_text(int(size)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (3, "3 s"), (600, "10 min"), (5.5 * 3600, "5.5 h"), (12 * 86400, "12 days")],
)
def test_times(seconds: float | None, text: str) -> None:
    assert time_text(seconds) == text
