"""Metrics reach MLflow whatever happens to it, and training never waits for it."""

import logging
import math
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from histories import events, journalled, stored, wait_for
from mlflow.tracking import MlflowClient
from serving import MlflowServer

from service.tracking.journal import Journal
from service.tracking.outbox import count_undelivered, count_undelivered_files
from service.tracking.request import RunRequest
from service.tracking.tracker import RunTracker, close_ahead, end_run, start_run

ROOT = Path(__file__).parents[2]


class Failing(Protocol):
    """The server of conftest.py that answers with errors."""

    uri: str
    healthy: bool


def test_what_is_logged_arrives_while_the_run_goes_on(
    client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    started = start_run(tmp_path, served)
    assert started is not None
    tracker = RunTracker(
        tmp_path, served, run_id=started.run_id, ship_every=0.05, headline="val/best_top1"
    )
    for step in range(1, 301):
        tracker.log(step, {"train/loss": 1 / step, "train/lr": 0.1})
    wait_for(lambda: len(stored(client, started.run_id, "train/loss")) == 300)
    odd = {"val/top1": math.nan, "val/top5": math.inf, "val/loss": -math.inf}
    tracker.log(300, {"val/best_top1": 70.5, **odd})
    assert tracker.close(60) == 0
    assert end_run(tmp_path, served, "FINISHED", run_id=started.run_id) is None

    names = ["train/loss", "train/lr", "val/best_top1", *odd]
    for name in names:
        assert stored(client, started.run_id, name) == journalled(tmp_path, name)
    run = client.get_run(started.run_id)
    assert run.info.status == "FINISHED"
    # MLflow's comparison page draws the first one.
    assert next(iter(run.data.metrics)) == "val/best_top1"
    assert run.data.metrics["val/best_top1"] == 70.5
    assert events(tmp_path) == []


def test_a_server_that_is_killed_and_returns_misses_nothing(
    server: MlflowServer, client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    started = start_run(tmp_path, served)
    assert started is not None
    tracker = RunTracker(tmp_path, served, run_id=started.run_id, ship_every=0.05)
    for step in range(1, 51):
        tracker.log(step, {"train/loss": 1 / step})
    tracker.attach("evaluation/50.png", b"before")
    tracker.flush()
    wait_for(lambda: count_undelivered(tmp_path) + count_undelivered_files(tmp_path) == 0)
    server.kill()
    for step in range(51, 101):
        tracker.log(step, {"train/loss": 1 / step})
    tracker.flush()
    tracker.attach("evaluation/100.png", b"meanwhile")
    wait_for(lambda: bool(events(tmp_path)))
    assert count_undelivered(tmp_path) == 50
    assert count_undelivered_files(tmp_path) == 1
    server.start()
    for step in range(101, 151):
        tracker.log(step, {"train/loss": 1 / step})
    tracker.attach("evaluation/150.png", b"after")
    wait_for(lambda: len(events(tmp_path)) == 2)
    assert tracker.close(60) == 0

    history = stored(client, started.run_id, "train/loss")
    assert history == journalled(tmp_path, "train/loss")
    assert [step for _, step, _ in history] == list(range(1, 151))
    files = {
        file.path: file.file_size for file in client.list_artifacts(started.run_id, "evaluation")
    }
    assert files == {"evaluation/50.png": 6, "evaluation/100.png": 9, "evaluation/150.png": 5}
    gone, back = events(tmp_path)
    assert served.uri in gone
    assert str(tmp_path) in gone
    assert "nothing was lost" in back


def test_a_restarted_worker_and_a_lost_cursor_store_nothing_twice(
    client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    started = start_run(tmp_path, served)
    assert started is not None
    for first, last in ((1, 60), (41, 100)):
        tracker = RunTracker(tmp_path, served, ship_every=0.05)
        for step in range(first, last + 1):
            tracker.log(step, {"train/loss": first + 1 / step})
        assert tracker.close(60) == 0
    (tmp_path / "delivered.json").unlink()
    assert count_undelivered(tmp_path) == 100
    assert end_run(tmp_path, served, "KILLED", reason="stopped by SIGTERM") is None

    history = stored(client, started.run_id, "train/loss")
    assert history == journalled(tmp_path, "train/loss")
    assert [step for _, step, _ in history] == list(range(1, 101))
    (run,) = client.search_runs([started.experiment_id])
    assert run.info.status == "KILLED"
    assert run.data.tags["status_reason"] == "stopped by SIGTERM"


def test_a_run_closed_ahead_of_its_end_takes_what_comes_later(
    client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    started = start_run(tmp_path, served)
    assert started is not None
    tracker = RunTracker(tmp_path, served, run_id=started.run_id, ship_every=60)
    tracker.log(1, {"train/loss": 1.0})
    close_ahead(served, started.run_id, "KILLED", "asked to stop")
    run = client.get_run(started.run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["status_reason"] == "asked to stop"
    assert tracker.close(60) == 0
    assert stored(client, started.run_id, "train/loss") == journalled(tmp_path, "train/loss")


TRAINING = """
import pickle, sys, time
from pathlib import Path
from service.tracking.tracker import RunTracker
folder = Path(sys.argv[1])
tracker = RunTracker(folder, pickle.loads((folder / "request").read_bytes()), ship_every=0.05)
for step in range(1, 1_000_000):
    tracker.log(step, {"train/loss": 1 / step})
    time.sleep(0.001)
"""


@pytest.mark.faults
def test_a_killed_training_process_leaves_its_metrics_to_the_driver(
    client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    started = start_run(tmp_path, served)
    assert started is not None
    (tmp_path / "request").write_bytes(pickle.dumps(served))
    training = subprocess.Popen([sys.executable, "-c", TRAINING, str(tmp_path)], cwd=ROOT)
    try:
        wait_for(lambda: len(stored(client, started.run_id, "train/loss")) > 50)
    finally:
        training.send_signal(signal.SIGKILL)
        training.wait()
    assert end_run(tmp_path, served, "FAILED", run_id=started.run_id, reason="worker lost") is None
    history = stored(client, started.run_id, "train/loss")
    assert history == journalled(tmp_path, "train/loss")
    assert [step for _, step, _ in history] == list(range(1, len(history) + 1))
    assert client.get_run(started.run_id).info.status == "FAILED"


def test_a_server_away_from_start_to_end_costs_nothing_and_gets_everything_later(
    client: MlflowClient,
    request_at: RunRequest,
    served: RunRequest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = replace(request_at, uri="http://someone:secret@127.0.0.1:1")
    with caplog.at_level(logging.WARNING, logger="service"):
        assert start_run(tmp_path, away) is None
    assert len(caplog.messages) == 1
    tracker = RunTracker(tmp_path, away, ship_every=0.02)
    tracker.log(1, {"train/loss": 2.0})
    tracker.event("data", "1 file skipped")
    time.sleep(0.2)  # several attempts
    assert events(tmp_path) == ["1 file skipped"]  # of the server `start_run` has told
    tracker.log(2, {"train/loss": 1.0})
    assert tracker.close(60) == 2
    with Journal(tmp_path / "system-other.jsonl") as journal:
        journal.write_sample(2, {"system/other/cpu_utilization_percentage": 50.0})
    line = end_run(tmp_path, away, "FINISHED")
    assert line is not None
    assert "3 records" in line
    assert str(tmp_path) in line
    assert "--resume" in line
    assert "Connection refused" in line
    for text in (line, *caplog.messages, *events(tmp_path)):
        assert "secret" not in text
        assert "\n" not in text

    assert end_run(tmp_path, served, "FINISHED") is None
    experiment = client.get_experiment_by_name(served.experiment)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["P_L"] == "0.5"
    assert stored(client, run.info.run_id, "train/loss") == journalled(tmp_path, "train/loss")
    name = "system/other/cpu_utilization_percentage"
    assert stored(client, run.info.run_id, name) == journalled(tmp_path, name, "system-other.jsonl")


def test_a_server_that_is_back_during_training_gets_one_run(
    client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    tracker = RunTracker(tmp_path, served, ship_every=0.05)
    tracker.log(1, {"train/loss": 2.0})
    assert tracker.close(60) == 0
    assert end_run(tmp_path, served, "FINISHED", tags={"best": "epoch 3"}) is None
    experiment = client.get_experiment_by_name(served.experiment)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["best"] == "epoch 3"
    assert run.data.metrics == {"train/loss": 2.0}


def test_a_run_the_server_lost_is_made_anew_with_its_whole_history(
    client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    tracker = RunTracker(tmp_path, served, run_id="0" * 32, ship_every=0.02)
    for step in range(1, 11):
        tracker.log(step, {"train/loss": 1 / step})
    tracker.flush()
    wait_for(lambda: count_undelivered(tmp_path) == 0)
    tracker.close(60)
    experiment = client.get_experiment_by_name(served.experiment)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert stored(client, run.info.run_id, "train/loss") == journalled(tmp_path, "train/loss")


@pytest.mark.parametrize("healthy", [True, False])
def test_a_server_that_answers_with_errors_neither_stops_nor_blocks(
    failing: Failing, request_at: RunRequest, tmp_path: Path, healthy: bool
) -> None:
    failing.healthy = healthy
    request = replace(request_at, uri=failing.uri)
    assert start_run(tmp_path, request) is None
    tracker = RunTracker(tmp_path, request, run_id="0" * 32, ship_every=0.02)
    for step in range(1, 101):
        tracker.log(step, {"train/loss": 1 / step})
    wait_for(lambda: bool(events(tmp_path)))
    assert tracker.close(60) == 100
    (line,) = events(tmp_path)
    assert "500" in line
    ending = end_run(tmp_path, request, "FINISHED")
    assert ending is not None
    assert "100 records" in ending


def test_more_metrics_in_a_step_than_a_request_takes_arrive(
    client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    tracker = RunTracker(tmp_path, served, ship_every=0.02)
    tracker.log(1, {f"val/ap_{number}": float(number) for number in range(1203)})
    assert tracker.close(60) == 0
    experiment = client.get_experiment_by_name(served.experiment)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert len(run.data.metrics) == 1203


def test_without_mlflow_there_is_the_journal(tmp_path: Path) -> None:
    tracker = RunTracker(tmp_path, None)
    tracker.log(1, {"train/loss": 2.0})
    assert tracker.close(60) == 0
    assert [step for _, step, _ in journalled(tmp_path, "train/loss")] == [1]


def test_a_run_folder_that_vanished_does_not_raise_in_training(
    request_at: RunRequest, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    tracker = RunTracker(folder, request_at, ship_every=0.02)
    shutil.rmtree(folder)
    tracker.log(1, {"train/loss": 2.0})
    assert tracker.close(60) == 0
