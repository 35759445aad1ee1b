"""Metrics that are handed over between two steps and written a little later."""

import resource
import signal
from pathlib import Path

import pytest

from service.tracking.journal import Journal
from service.tracking.records import MetricRecord, read_records
from service.tracking.waiting import WaitingMetrics


def written(path: Path) -> list[MetricRecord]:
    return [record for record in read_records(path, 0)[0] if isinstance(record, MetricRecord)]


def test_metrics_are_written_in_order_as_they_were_when_they_were_handed_over(
    tmp_path: Path,
) -> None:
    path, metrics = tmp_path / "metrics.jsonl", {"train/loss": 0.0}
    with Journal(path) as journal:
        waiting = WaitingMetrics(journal)
        for step in range(1, 501):
            metrics["train/loss"] = 1 / step
            waiting.put(step, metrics)
        waiting.drain()
        assert [(one.step, one.metrics["train/loss"]) for one in written(path)] == [
            (step, 1 / step) for step in range(1, 501)
        ]
        waiting.put(501, metrics)
        waiting.close()
    records = written(path)
    assert [one.step for one in records] == list(range(1, 502))
    times = [one.time for one in records]
    assert times == sorted(times)


def test_what_mlflow_would_refuse_is_refused_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "metrics.jsonl") as journal:
        waiting = WaitingMetrics(journal)
        with pytest.raises(ValueError, match="at least 0"):
            waiting.put(-1, {"train/loss": 1.0})
        with pytest.raises(ValueError, match="name"):
            waiting.put(1, {'train/"loss"': 1.0})
        waiting.close()
    assert written(tmp_path / "metrics.jsonl") == []


def test_a_storage_that_refuses_is_told_of_once_and_takes_the_rest_when_it_is_back(
    tmp_path: Path,
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Journal(tmp_path / "metrics.jsonl") as journal:
        waiting = WaitingMetrics(journal)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
            waiting.put(1, {"train/loss": 1.0})
            with pytest.raises(OSError, match="File too large"):
                waiting.drain()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        waiting.put(2, {"train/loss": 2.0})
        waiting.close()
    assert [one.step for one in written(tmp_path / "metrics.jsonl")] == [2]
