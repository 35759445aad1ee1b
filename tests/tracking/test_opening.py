"""The driver opens the run in MLflow while its workers start, and none of them opens another."""

import threading
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from service.storage.working_copy import bring, working_copy
from service.tracking import opening
from service.tracking.client import NotYetOpenError
from service.tracking.opening import Opened, Opening
from service.tracking.request import RunRequest
from service.tracking.runs import StartedRun
from service.tracking.tracker import RunTracker


def test_workers_wait_for_the_driver_and_record_in_its_run(
    tmp_path: Path, served: RunRequest, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_open = threading.Event()
    open_run = opening.start_run

    def late(folder: Path, request: RunRequest) -> object:
        may_open.wait(30)
        return open_run(folder, request)

    monkeypatch.setattr(opening, "start_run", late)
    driver = Opening(tmp_path, served)
    with pytest.raises(NotYetOpenError, match="about to open"):
        Opened(tmp_path)()
    tracker = RunTracker(tmp_path, served, run_id=Opened(tmp_path), ship_every=0.02)
    tracker.log(1, {"loss": 0.5})
    may_open.set()
    started = driver.started()
    assert started is not None
    assert Opened(tmp_path)() == started.run_id
    assert tracker.close() == 0
    (run,) = client.search_runs([started.experiment_id])
    assert run.info.run_id == started.run_id
    assert run.data.metrics["loss"] == 0.5


def test_a_run_that_no_driver_opens_is_left_to_the_worker(tmp_path: Path) -> None:
    assert Opened(tmp_path)() is None


def test_a_driver_that_could_not_open_the_run_leaves_it_to_the_worker(
    tmp_path: Path, request_at: RunRequest
) -> None:
    assert Opening(tmp_path, request_at).started() is None
    assert Opened(tmp_path)() is None


def test_a_driver_that_was_killed_meanwhile_is_not_waited_for_for_ever(
    tmp_path: Path, request_at: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = threading.Event()
    monkeypatch.setattr(opening, "start_run", lambda *_: killed.wait(30) and None)
    driver = Opening(tmp_path, request_at)
    monkeypatch.setattr(opening, "_PATIENCE", 0.0)
    assert Opened(tmp_path)() is None
    killed.set()
    assert driver.started() is None


def test_a_worker_on_another_machine_asks_the_store(
    tmp_path: Path, request_at: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"memory://{tmp_path.name}/runs"
    here, there = (working_copy(address, tmp_path / name) / "run" for name in ("one", "two"))
    for folder in (here, there):
        folder.mkdir()
    may_open = threading.Event()
    monkeypatch.setattr(
        opening, "start_run", lambda *_: may_open.wait(30) and StartedRun("run-id", "1", "url")
    )
    assert Opened(there)() is None
    driver = Opening(here, request_at)
    bring(there / "mlflow_run.txt")
    assert (there / "mlflow_run.txt").read_bytes() == b""
    with pytest.raises(NotYetOpenError, match="about to open"):
        Opened(there)()
    may_open.set()
    driver.started()
    assert Opened(there)() == "run-id"
