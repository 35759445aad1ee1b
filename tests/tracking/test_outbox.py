"""What was delivered is not delivered again, and what was not is never forgotten."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from service.tracking.journal import Journal
from service.tracking.outbox import CURSOR, Outbox, Row, count_undelivered
from service.tracking.records import MetricRecord, read_records


def fill(path: Path, steps: range, metrics: int = 1) -> None:
    with Journal(path) as journal:
        for step in steps:
            journal.write(step, {f"train/m{i}": step + i / 10 for i in range(metrics)})
            journal.write_event("note", "stays here")


def rows_of(path: Path) -> list[Row]:
    return [
        Row(name, value, record.time, record.step)
        for record in read_records(path, 0)[0]
        if isinstance(record, MetricRecord)
        for name, value in record.metrics.items()
    ]


def drain(outbox: Outbox) -> list[list[Row]]:
    batches = []
    while (batch := outbox.next_batch()) is not None:
        batches.append(batch.rows)
        outbox.confirm(batch)
    return batches


def test_all_journals_are_delivered_once_in_order_in_bounded_batches(tmp_path: Path) -> None:
    fill(tmp_path / "metrics.jsonl", range(1, 701), metrics=3)
    fill(tmp_path / "system-a.jsonl", range(1, 11))
    fill(tmp_path / "system-b.jsonl", range(1, 11))
    (tmp_path / "predictions.jsonl").write_text('{"picture": 1}\n')
    assert count_undelivered(tmp_path) == 720
    batches = drain(Outbox(tmp_path, "run"))
    # 333 records of 3 metrics fill a batch of at most 1000.
    assert [len(batch) for batch in batches] == [999, 999, 122]
    assert [row for batch in batches for row in batch] == [
        row
        for name in ("metrics.jsonl", "system-a.jsonl", "system-b.jsonl")
        for row in rows_of(tmp_path / name)
    ]
    assert count_undelivered(tmp_path) == 0
    assert Outbox(tmp_path, "run").next_batch() is None


def test_a_smaller_batch_can_be_asked_for(tmp_path: Path) -> None:
    fill(tmp_path / "metrics.jsonl", range(1, 11), metrics=3)
    outbox = Outbox(tmp_path, "run")
    sizes = []
    for largest in (7, 1, 1000):
        batch = outbox.next_batch(largest)
        assert batch is not None
        sizes.append(len(batch.rows))
        outbox.confirm(batch)
    assert sizes == [6, 3, 21]


def test_a_batch_that_was_not_confirmed_comes_again(tmp_path: Path) -> None:
    journal = tmp_path / "metrics.jsonl"
    fill(journal, range(1, 4))
    outbox = Outbox(tmp_path, "run")
    batch = outbox.next_batch()
    assert batch is not None
    assert outbox.next_batch() == batch
    assert Outbox(tmp_path, "run").next_batch() == batch
    outbox.confirm(batch)
    fill(journal, range(4, 6))
    again = Outbox(tmp_path, "run").next_batch()
    assert again is not None
    assert again.rows == rows_of(journal)[3:]


def test_another_run_gets_the_whole_history(tmp_path: Path) -> None:
    fill(tmp_path / "metrics.jsonl", range(1, 4))
    drain(Outbox(tmp_path, "deleted run"))
    assert drain(Outbox(tmp_path, "new run")) == [rows_of(tmp_path / "metrics.jsonl")]


def test_one_record_with_more_metrics_than_a_batch_is_sent_whole(tmp_path: Path) -> None:
    fill(tmp_path / "metrics.jsonl", range(1, 3), metrics=1200)
    assert [len(batch) for batch in drain(Outbox(tmp_path, "run"))] == [1200, 1200]


def cut_short(folder: Path) -> None:
    journal = folder / "metrics.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])


def shift(folder: Path) -> None:
    journal = folder / "metrics.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"\n" * 3, *lines[1:]]))


@pytest.mark.parametrize("damage", [cut_short, shift])
def test_a_cursor_that_does_not_fit_the_journal_counts_for_nothing(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    journal = tmp_path / "metrics.jsonl"
    with Journal(journal) as writer:
        for step in range(1, 4):
            writer.write(step, {"train/loss": step})
    drain(Outbox(tmp_path, "run"))
    damage(tmp_path)
    assert drain(Outbox(tmp_path, "run")) == [rows_of(journal)]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": "run"}', '{"run_id": 1, "ends": 2}'])
def test_a_damaged_cursor_is_reported_and_all_is_sent_again(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path / "metrics.jsonl", range(1, 4))
    drain(Outbox(tmp_path, "run"))
    (tmp_path / CURSOR).write_text(text)
    with caplog.at_level(logging.WARNING):
        outbox = Outbox(tmp_path, "run")
    assert CURSOR in caplog.text
    assert drain(outbox) == [rows_of(tmp_path / "metrics.jsonl")]
