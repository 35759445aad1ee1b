"""Journals are read as they grow, and what is damaged in them is reported."""

import logging
from pathlib import Path

import pytest

from service.tracking.names import check_metric_name
from service.tracking.records import (
    ArtifactRecord,
    EventRecord,
    JournalReader,
    MetricRecord,
    parse_record,
    read_records,
)

FIRST = b'{"time":10,"step":1,"metrics":{"train/loss":2.5}}\n'
SECOND = b'{"time":20,"step":2,"metrics":{"train/loss":1}}\n'


@pytest.mark.parametrize(
    "name",
    [
        "train/loss",
        "val/top1",
        "val/best_top1",
        "time/images_per_second",
        "system/node-1.local/gpu_0_utilization_percentage",
        "bbox/AP50",
        "a b:c",
    ],
)
def test_names_mlflow_takes_are_allowed(name: str) -> None:
    check_metric_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/a", "a//b", "a/", "../a", "a/../b", "AP[0.5]", "50%", "a=b", "x" * 251],
)
def test_names_mlflow_refuses_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="metric name"):
        check_metric_name(name)


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\x00\x00\n",
        b"\xff\xfe\n",
        b"[1]\n",
        b"{}\n",
        b'{"time":1}\n',
        b'{"time":1,"step":1}\n',
        b'{"time":1,"step":-1,"metrics":{"a":1}}\n',
        b'{"time":1,"step":1.5,"metrics":{"a":1}}\n',
        b'{"time":true,"step":1,"metrics":{"a":1}}\n',
        b'{"time":1,"step":9223372036854775808,"metrics":{"a":1}}\n',
        b'{"time":1,"step":1,"metrics":{"a":"1"}}\n',
        b'{"time":1,"step":1,"metrics":{"a":null}}\n',
        b'{"time":1,"step":1,"metrics":{"a[0]":1}}\n',
        b'{"step":1,"metrics":{"a":1}}\n',
        b'{"time":1,"artifact":"../a"}\n',
        b'{"time":1,"artifact":1}\n',
        b'{"artifact":"a.png"}\n',
    ],
)
def test_a_damaged_line_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_record(line)


def test_a_file_is_a_record() -> None:
    assert parse_record(b'{"time":1,"artifact":"a/b.png"}\n') == ArtifactRecord(1, "a/b.png")


def test_a_journal_that_does_not_exist_has_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "metrics.jsonl", 0) == ([], 0)


def test_a_damaged_middle_line_is_reported_and_hides_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = tmp_path / "metrics.jsonl"
    journal.write_bytes(FIRST + b"\x00" * 40 + b"\n" + SECOND)
    with caplog.at_level(logging.WARNING):
        records, end = read_records(journal, 0)
    assert records == [
        MetricRecord(10, 1, {"train/loss": 2.5}),
        MetricRecord(20, 2, {"train/loss": 1.0}),
    ]
    assert end == journal.stat().st_size
    (message,) = caplog.messages
    assert f"damaged line at byte {len(FIRST)}" in message
    assert str(journal) in message


def test_an_unfinished_last_line_is_read_when_it_is_finished(tmp_path: Path) -> None:
    journal = tmp_path / "metrics.jsonl"
    reader = JournalReader(journal)
    assert reader.new_records() == []
    journal.write_bytes(FIRST + SECOND[:-7])
    assert reader.new_records() == [MetricRecord(10, 1, {"train/loss": 2.5})]
    assert reader.new_records() == []
    journal.write_bytes(FIRST + SECOND + b'{"time":30,"event":"data","text":"one file skipped"}\n')
    assert reader.new_records() == [
        MetricRecord(20, 2, {"train/loss": 1.0}),
        EventRecord(30, "data", "one file skipped"),
    ]
    assert reader.new_records() == []
