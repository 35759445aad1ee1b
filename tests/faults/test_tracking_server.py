"""A tracking server that hangs, is full, locked or killed: no step waits and no figure is lost."""

import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from inspect import signature
from pathlib import Path

import psutil
import pytest
from histories import (
    LOSS,
    check_complete,
    events,
    journalled,
    log,
    nothing_waits,
    opened,
    stored,
    wait_for,
    wait_for_threads,
)
from mlflow.tracking import MlflowClient
from running import ROOT, SMALL, command, environment, train_here
from serving import FaultyProxy, MlflowServer, but_health, passed, silent

from service.tracking.outbox import count_undelivered
from service.tracking.request import RunRequest
from service.tracking.tracker import RunTracker, end_run, start_run

sys.path.insert(0, str(ROOT / "pipelines"))
from imagenet import PIPELINE

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]


@pytest.mark.parametrize("health", ["healthy", pytest.param("silent", marks=pytest.mark.slow)])
def test_a_server_that_never_answers_holds_up_neither_a_step_nor_the_end(
    health: str, proxy: FaultyProxy, client: MlflowClient, request_at: RunRequest, tmp_path: Path
) -> None:
    run_id = opened(tmp_path, request_at)
    tracker = RunTracker(tmp_path, request_at, run_id=run_id, ship_every=0.02)
    proxy.fault = but_health(silent) if health == "healthy" else silent
    log(tracker, range(1, 2))
    assert proxy.holding.wait(60)
    # From here on nothing is answered but questions of health: all that follows does not wait.
    log(tracker, range(2, 1001))
    tracker.attach("evaluation/1000.txt", b"1000")
    assert tracker.close(deadline=0.3) == 1001
    line = end_run(tmp_path, request_at, "FINISHED", run_id=run_id, deadline=0.3)
    assert not proxy.released.is_set()
    assert line is not None
    assert "it took longer than 0.3 s" in line
    assert "1000 records, 1 files and the status FINISHED" in line
    assert f"kept in {tmp_path}; --resume delivers them" in line

    proxy.fault = passed
    proxy.released.set()
    wait_for_threads()
    assert end_run(tmp_path, request_at, "FINISHED") is None
    run = check_complete(client, request_at, tmp_path, 1000)
    assert [f.path for f in client.list_artifacts(run.info.run_id, "evaluation")] == [
        "evaluation/1000.txt"
    ]


def test_the_end_and_the_start_of_a_run_wait_half_a_minute_at_most() -> None:
    close, end, start = (
        signature(call).parameters["deadline"].default
        for call in (RunTracker.close, end_run, start_run)
    )
    assert close + end <= 30
    assert start <= 30


def test_a_server_that_hangs_at_the_start_is_told_of_and_left_alone(
    proxy: FaultyProxy,
    client: MlflowClient,
    request_at: RunRequest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy.fault = but_health(silent)
    assert start_run(tmp_path, request_at, deadline=0.3) is None
    (message,) = (record.message for record in caplog.records if record.name.startswith("service"))
    assert "it took longer than 0.3 s" in message
    assert str(tmp_path) in message
    proxy.fault = passed
    proxy.released.set()  # the call that was left behind opens the run too
    tracker = RunTracker(tmp_path, request_at, ship_every=0.02)
    log(tracker, range(1, 11))
    wait_for(lambda: nothing_waits(tmp_path))
    tracker.close()
    wait_for_threads()
    assert end_run(tmp_path, request_at, "FINISHED") is None
    check_complete(client, request_at, tmp_path, 10)


@pytest.mark.slow
def test_a_full_disk_of_the_server_loses_nothing(
    server: MlflowServer,
    client: MlflowClient,
    proxy: FaultyProxy,
    request_at: RunRequest,
    tmp_path: Path,
) -> None:
    run_id = opened(tmp_path, request_at)
    tracker = RunTracker(tmp_path, request_at, run_id=run_id, ship_every=0.02)
    log(tracker, range(1, 51))
    tracker.attach("evaluation/50.txt", b"before")
    wait_for(lambda: nothing_waits(tmp_path))
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    _limit_files(processes, server.database.stat().st_size)
    try:
        # More than the free space in the pages that the database has.
        log(tracker, range(51, 2001))
        tracker.attach("evaluation/2000.txt", b"0" * server.database.stat().st_size * 2)
        wait_for(lambda: len(events(tmp_path)) == 1)
        assert tracker.close(60) > 0
        line = end_run(tmp_path, request_at, "FINISHED", run_id=run_id)
        assert line is not None
        assert str(tmp_path) in line
    finally:
        _limit_files(processes, resource.RLIM_INFINITY)
    assert end_run(tmp_path, request_at, "FINISHED") is None
    run = check_complete(client, request_at, tmp_path, 2000)
    assert len(client.list_artifacts(run.info.run_id, "evaluation")) == 2


def _limit_files(processes: list[psutil.Process], size: int) -> None:
    """Bounds what processes can write to a file: beyond it their system refuses, as when full."""
    for process in processes:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.slow
def test_a_database_that_another_process_locks_loses_nothing(
    server: MlflowServer,
    client: MlflowClient,
    request_at: RunRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    run_id = opened(tmp_path, request_at)
    tracker = RunTracker(tmp_path, request_at, run_id=run_id, ship_every=0.02)
    with closing(sqlite3.connect(server.database, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        log(tracker, range(1, 101))
        wait_for(lambda: len(events(tmp_path)) == 1)
        log(tracker, range(101, 201))
        database.execute("ROLLBACK")
    wait_for(lambda: nothing_waits(tmp_path))
    assert tracker.close(60) == 0
    assert end_run(tmp_path, request_at, "FINISHED", run_id=run_id) is None
    check_complete(client, request_at, tmp_path, 200)


@pytest.mark.slow
def test_a_run_whose_server_hangs_ends_well_and_is_delivered_by_resuming(
    proxy: FaultyProxy, client: MlflowClient, tmp_path: Path
) -> None:
    address = (f"tracking.uri={proxy.uri}", "tracking.experiment=hangs", "tracking.ship_every=0.1")
    options = ("name=run", "training.duration=60ep", *address)
    folder = tmp_path / "run"
    # A request is given up before training ends.
    impatient = environment(MLFLOW_HTTP_REQUEST_TIMEOUT="2")
    run = subprocess.Popen(
        command(tmp_path, "--local", *options), env=impatient, stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: (folder / "delivered.json").exists())
    proxy.fault = silent
    output, _ = run.communicate(timeout=250)
    assert run.returncode == 0
    assert proxy.holding.is_set()
    warnings = [line for line in output.splitlines() if "MLflow at" in line]
    assert [line.partition(" ")[0] for line in warnings[:-1]] == ["tracking:"]
    assert "records and the status FINISHED" in warnings[-1]
    assert f"are kept in {folder}; --resume delivers them" in warnings[-1]
    assert count_undelivered(folder) > 0

    proxy.fault = passed
    assert train_here(PIPELINE, tmp_path, "--resume", *SMALL, *options) == 0
    assert nothing_waits(folder)
    experiment = client.get_experiment_by_name("hangs")
    assert experiment is not None
    (recorded,) = client.search_runs([experiment.experiment_id])
    assert recorded.info.status == "FINISHED"
    for name in (LOSS, "val/top1"):
        assert stored(client, recorded.info.run_id, name) == journalled(folder, name)
    assert journalled(folder, LOSS)[-1][1] == 8 * 60


@pytest.mark.slow
def test_a_server_killed_between_two_batches_gets_every_value_once(
    server: MlflowServer, client: MlflowClient, request_at: RunRequest, tmp_path: Path
) -> None:
    request = replace(request_at, uri=server.uri)
    run_id = opened(tmp_path, request)
    tracker = RunTracker(tmp_path, request, run_id=run_id, ship_every=0.02)
    log(tracker, range(1, 5001))
    wait_for(lambda: count_undelivered(tmp_path) < 4500)
    server.kill()
    assert count_undelivered(tmp_path) > 0
    log(tracker, range(5001, 5101))
    server.start()
    wait_for(lambda: nothing_waits(tmp_path))
    assert tracker.close(60) == 0
    assert end_run(tmp_path, request, "FINISHED", run_id=run_id) is None
    check_complete(client, request, tmp_path, 5100)
