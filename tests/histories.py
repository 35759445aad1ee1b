"""What a run folder recorded beside what MLflow holds of it."""

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from service.tracking.journal import METRICS_JOURNAL
from service.tracking.outbox import count_undelivered, count_undelivered_files
from service.tracking.records import EventRecord, MetricRecord, read_records
from service.tracking.request import RunRequest
from service.tracking.tracker import RunTracker, start_run

Point = tuple[int, int, float]
"""Time, step and value of a metric."""

LOSS = "train/loss"


def journalled(folder: Path, name: str, journal: str = METRICS_JOURNAL) -> list[Point]:
    """Each record of a metric; NaN, which equals nothing, as -1."""
    return [
        (record.time, record.step, _as_stored(record.metrics[name]))
        for record in read_records(folder / journal, 0)[0]
        if isinstance(record, MetricRecord) and name in record.metrics
    ]


def stored(client: MlflowClient, run_id: str, name: str) -> list[Point]:
    """The same of what MLflow holds, in the order in which it gives it."""
    history = client.get_metric_history(run_id, name)
    return [(point.timestamp, point.step, _as_stored(point.value)) for point in history]


def events(folder: Path) -> list[str]:
    """What people are told in the course of a run."""
    records, _ = read_records(folder / METRICS_JOURNAL, 0)
    return [record.text for record in records if isinstance(record, EventRecord)]


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits a minute at most."""
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def wait_for_threads() -> None:
    """Waits for the threads that were left behind in calls of MLflow."""
    wait_for(lambda: not any(t.name.startswith("mlflow-") for t in threading.enumerate()))


def _as_stored(value: float) -> float:
    if math.isnan(value):
        return -1.0
    return max(min(value, 1.7976931348623157e308), -1.7976931348623157e308)


def opened(folder: Path, request: RunRequest) -> str:
    """Starts a run and returns MLflow's name for it."""
    started = start_run(folder, request)
    assert started is not None
    return started.run_id


def log(tracker: RunTracker, steps: range) -> None:
    """Records two metrics a step."""
    for step in steps:
        tracker.log(step, {LOSS: 1 / step, "train/lr": 0.1})
    tracker.flush()


def nothing_waits(folder: Path) -> bool:
    """Tells whether everything was delivered."""
    return count_undelivered(folder) + count_undelivered_files(folder) == 0


def check_complete(client: MlflowClient, request: RunRequest, folder: Path, steps: int) -> Run:
    """Checks that MLflow has one run, with all of `log` once and in order; returns it."""
    experiment = client.get_experiment_by_name(request.experiment)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    for name in (LOSS, "train/lr"):
        history = stored(client, run.info.run_id, name)
        assert [step for _, step, _ in history] == list(range(1, steps + 1))
        assert history == journalled(folder, name)
    assert run.info.status == "FINISHED"
    assert "config.yaml" in [file.path for file in client.list_artifacts(run.info.run_id)]
    assert run.data.params == request.params
    assert run.data.tags.items() >= request.tags.items()
    assert run.inputs is not None
    assert len(run.inputs.dataset_inputs) == len(request.datasets)
    return run
