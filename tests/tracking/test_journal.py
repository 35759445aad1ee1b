"""The journal keeps what was written, whatever happens to the writer."""

import math
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.tracking.journal import Journal
from service.tracking.records import EventRecord, MetricRecord, Record, read_records

WRITER = """
import itertools, sys
from pathlib import Path
from service.tracking.journal import Journal
journal = Journal(Path(sys.argv[1]))
print("ready", flush=True)
for step in itertools.count(1):
    journal.write(step, {"train/loss": 1 / step, "train/lr": 0.1})
"""


def written(path: Path) -> list[Record]:
    return read_records(path, 0)[0]


def steps(path: Path, name: str) -> list[int]:
    return [r.step for r in written(path) if isinstance(r, MetricRecord) and name in r.metrics]


@pytest.mark.faults
def test_a_killed_writer_loses_no_complete_line(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    root = Path(__file__).parents[2]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], cwd=root, stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        while path.stat().st_size < 50_000:
            time.sleep(0.005)
        writer.kill()
    before = path.read_bytes()
    complete = before.count(b"\n")
    assert steps(path, "train/loss") == list(range(1, complete + 1))

    with Journal(path) as journal:
        assert path.read_bytes() == before[: before.rindex(b"\n") + 1]
        # The resumed run passes again through ten steps it had recorded.
        for step in range(complete - 9, complete + 3):
            journal.write(step, {"train/loss": 7.0, "train/lr": 0.1})
    assert steps(path, "train/loss") == list(range(1, complete + 3))
    losses = [r.metrics["train/loss"] for r in written(path) if isinstance(r, MetricRecord)]
    assert losses[:complete] == [1 / step for step in range(1, complete + 1)]
    assert losses[complete:] == [7.0, 7.0]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_journal_cut_anywhere_goes_on_after_its_last_complete_line(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        for step in range(1, 6):
            journal.write(step, {"train/loss": step / 3, "µ": -step})
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    complete = whole[:cut].count(b"\n")
    with Journal(path) as journal:
        for step in range(1, 8):
            journal.write(step, {"train/loss": step / 3, "µ": -step})
    assert steps(path, "µ") == list(range(1, 8))
    assert path.read_bytes().startswith(b"".join(whole.splitlines(keepends=True)[:complete]))


def test_each_metric_has_its_own_last_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path) as journal:
        journal.write(5, {"train/loss": 1.0})
        journal.write(5, {"train/loss": 9.0, "val/top1": 70.0})
        journal.write(4, {"train/loss": 9.0, "val/top1": 9.0})
        journal.write(5, {"train/loss": 9.0})
    assert [(r.step, r.metrics) for r in written(path) if isinstance(r, MetricRecord)] == [
        (5, {"train/loss": 1.0}),
        (5, {"val/top1": 70.0}),
    ]


def test_samples_may_share_a_step_and_go_back(tmp_path: Path) -> None:
    path = tmp_path / "system-a.jsonl"
    with Journal(path) as journal:
        for step in (3, 3, 2):
            journal.write_sample(step, {"system/a/cpu": 50.0})
    with Journal(path) as journal:
        journal.write_sample(1, {"system/a/cpu": 50.0})
    assert steps(path, "system/a/cpu") == [3, 3, 2, 1]


def test_every_float_survives(tmp_path: Path) -> None:
    values = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.1 + 0.2, "e": 5e-324, "f": 3}
    path = tmp_path / "metrics.jsonl"
    before = time.time_ns() // 1_000_000
    with Journal(path) as journal:
        journal.write(0, values)
    (record,) = written(path)
    assert isinstance(record, MetricRecord)
    assert before <= record.time <= time.time_ns() // 1_000_000
    assert math.isnan(record.metrics.pop("a"))
    assert record.metrics == {name: value for name, value in values.items() if name != "a"}
    assert list(record.metrics) == ["b", "c", "d", "e", "f"]


def test_events_stand_between_metrics(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path) as journal:
        journal.write_event("data", "2 files of 10 skipped:\nμ.jpg")
        journal.write(1, {"train/loss": 1.0})
    event, metrics = written(path)
    assert isinstance(event, EventRecord)
    assert (event.kind, event.text) == ("data", "2 files of 10 skipped:\nμ.jpg")
    assert isinstance(metrics, MetricRecord)


@pytest.mark.parametrize("method", ["write", "write_sample"])
def test_what_mlflow_would_refuse_is_refused_before_it_is_written(
    tmp_path: Path, method: str
) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path) as journal:
        write = getattr(journal, method)
        with pytest.raises(ValueError, match="metric name 'AP"):
            write(1, {"val/top1": 1.0, "AP[0.5]": 1.0})
        with pytest.raises(ValueError, match="step must be at least 0"):
            write(-1, {"val/top1": 1.0})
    assert path.read_bytes() == b""


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path) as journal:

        def work(name: str) -> None:
            for step in range(200):
                journal.write(step, {name: float(step)})
                journal.write_event(name, "x" * step)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(written(path)) == 1200
    for name in "abc":
        assert steps(path, name) == list(range(200))


@pytest.mark.faults
def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path) as journal:
        journal.write(1, {"train/loss": 1.0})
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
        try:
            with pytest.raises(OSError, match=r"metrics\.jsonl"):
                journal.write(2, {"train/loss": 1.0})
            left = path.read_bytes()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert left == before
        journal.write(2, {"train/loss": 2.0})
    assert steps(path, "train/loss") == [1, 2]


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "metrics.jsonl")
    journal.close()
    with pytest.raises(ValueError, match="closed"):
        journal.write(1, {"train/loss": 1.0})
