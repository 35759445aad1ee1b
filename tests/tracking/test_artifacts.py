"""Files of a run reach MLflow whatever happens to it, and training never waits for it."""

import logging
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from service.tracking.client import connect
from service.tracking.delivery import Delivery
from service.tracking.outbox import CURSOR, Outbox, count_undelivered, count_undelivered_files
from service.tracking.request import RunRequest
from service.tracking.tracker import RunTracker, end_run, start_run

PICTURES = "evaluation/step_00000120/pictures.png"


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def paths_of(client: MlflowClient, run_id: str, folder: str | None = None) -> set[str]:
    """Paths of all files that MLflow holds for a run, but for its configuration."""
    found: set[str] = set()
    for entry in client.list_artifacts(run_id, folder):
        found |= paths_of(client, run_id, entry.path) if entry.is_dir else {entry.path}
    return found - {"config.yaml"}


def content_of(client: MlflowClient, run_id: str, path: str, folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    return Path(client.download_artifacts(run_id, path, str(folder))).read_bytes()


def only_run(client: MlflowClient, request: RunRequest) -> str:
    experiment = client.get_experiment_by_name(request.experiment)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return str(run.info.run_id)


@pytest.mark.parametrize("store", ["served", "stored"])
def test_files_arrive_under_their_paths_while_the_run_goes_on(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run: RunRequest = request.getfixturevalue(store)
    started = start_run(tmp_path, run)
    assert started is not None
    client = connect(run.uri)
    contents = {
        PICTURES: bytes(range(256)) * 1000,
        "evaluation/step_00000120/AP of each category (µ, 50+).csv": "Ärmel,0.5\n".encode(),
        "empty.txt": b"",
    }
    tracker = RunTracker(tmp_path, run, run_id=started.run_id, ship_every=0.05)
    for path, content in contents.items():
        tracker.attach(path, content)
        assert (tmp_path / "artifacts" / path).read_bytes() == content
    wait_for(lambda: count_undelivered_files(tmp_path) == 0)
    assert paths_of(client, started.run_id) == contents.keys()

    tracker.attach(PICTURES, b"drawn anew")
    assert tracker.close(60) == 0
    assert end_run(tmp_path, run, "FINISHED", run_id=started.run_id) is None
    for path, content in (contents | {PICTURES: b"drawn anew"}).items():
        assert content_of(client, started.run_id, path, tmp_path / "down") == content
    assert paths_of(client, started.run_id) == contents.keys()


def test_a_server_away_to_the_end_gets_the_files_later_in_order(
    client: MlflowClient, request_at: RunRequest, served: RunRequest, tmp_path: Path
) -> None:
    tracker = RunTracker(tmp_path, request_at, ship_every=0.02)
    tracker.log(1, {"val/box_ap": 20.0})
    for step in (1, 2):
        tracker.attach(f"evaluation/{step}.txt", b"%d" % step)
    assert tracker.close(60) == 3
    line = end_run(tmp_path, request_at, "FINISHED")
    assert line is not None
    assert "1 records, 2 files and the status FINISHED" in line

    # The server is back in the middle of the delivery.
    run_id = Delivery(tmp_path, served).open().run_id
    asked = iter((True, True, False))
    Delivery(tmp_path, served, run_id).deliver(lambda: next(asked))
    assert paths_of(client, run_id) == {"evaluation/1.txt"}
    assert (count_undelivered(tmp_path), count_undelivered_files(tmp_path)) == (0, 1)
    # The resumed run brings the rest.
    tracker = RunTracker(tmp_path, served, ship_every=0.02)
    tracker.attach("evaluation/3.txt", b"3")
    assert tracker.close(60) == 0
    assert paths_of(client, run_id) == {f"evaluation/{step}.txt" for step in (1, 2, 3)}


def test_what_was_sent_but_not_confirmed_is_sent_again_and_is_there_once(
    stored: RunRequest, tmp_path: Path
) -> None:
    for _ in range(2):
        tracker = RunTracker(tmp_path, stored)
        tracker.attach(PICTURES, b"picture")
        assert tracker.close(60) == 0
        (tmp_path / CURSOR).unlink()
    assert end_run(tmp_path, stored, "FINISHED") is None
    client = connect(stored.uri)
    run_id = only_run(client, stored)
    assert paths_of(client, run_id) == {PICTURES}
    assert content_of(client, run_id, PICTURES, tmp_path / "down") == b"picture"
    assert Outbox(tmp_path, run_id).next_file() is None


def test_without_mlflow_files_stay_in_the_run_folder_until_it_is_switched_on(
    stored: RunRequest, tmp_path: Path
) -> None:
    tracker = RunTracker(tmp_path, None)
    tracker.attach(PICTURES, b"picture")
    assert tracker.close(60) == 0
    assert (tmp_path / "artifacts" / PICTURES).read_bytes() == b"picture"
    tracker = RunTracker(tmp_path, stored)
    assert tracker.close(60) == 0
    client = connect(stored.uri)
    assert paths_of(client, only_run(client, stored)) == {PICTURES}


def test_a_store_of_files_that_fails_holds_up_no_metrics(
    stored: RunRequest, tmp_path: Path
) -> None:
    blocked = tmp_path / "taken"
    blocked.write_text("")
    run = replace(stored, artifact_location=blocked.as_uri())
    tracker = RunTracker(tmp_path, run)
    tracker.log(1, {"val/box_ap": 20.0})
    tracker.attach(PICTURES, b"picture")
    assert tracker.close(60) == 1
    client = connect(run.uri)
    run_id = only_run(client, run)
    assert client.get_run(run_id).data.metrics == {"val/box_ap": 20.0}
    line = end_run(tmp_path, run, "FINISHED")
    assert line is not None
    assert "0 records, 1 files" in line
    blocked.unlink()
    assert end_run(tmp_path, run, "FINISHED") is None
    assert paths_of(client, run_id) == {PICTURES}


def test_a_run_the_server_lost_is_made_anew_with_all_its_files(
    stored: RunRequest, tmp_path: Path
) -> None:
    tracker = RunTracker(tmp_path, stored, run_id="0" * 32, ship_every=0.02)
    tracker.attach(PICTURES, b"picture")
    wait_for(lambda: count_undelivered_files(tmp_path) == 0)
    assert tracker.close(60) == 0
    client = connect(stored.uri)
    assert paths_of(client, only_run(client, stored)) == {PICTURES}


def test_a_file_that_was_deleted_is_named_and_the_next_one_arrives(
    stored: RunRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = RunTracker(tmp_path, None)
    tracker.attach("gone.txt", b"1")
    tracker.attach("there.txt", b"2")
    tracker.close(60)
    gone = tmp_path / "artifacts" / "gone.txt"
    gone.unlink()
    with caplog.at_level(logging.WARNING, logger="service"):
        assert end_run(tmp_path, stored, "FINISHED") is None
    assert [m for m in caplog.messages if str(gone) in m]
    client = connect(stored.uri)
    assert paths_of(client, only_run(client, stored)) == {"there.txt"}


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "/etc/passwd", "../pictures.png", "evaluation/../../pictures.png"),
        *("evaluation//pictures.png", "evaluation/./pictures.png", "evaluation/", " /a", "a/.b"),
        *("a\\..\\b", "a%2e%2e", "file:/a", "a#b", "a?b", "a\nb", "x" * 201),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_before_anything_is_written(
    tmp_path: Path, path: str
) -> None:
    tracker = RunTracker(tmp_path, None)
    with pytest.raises(ValueError, match="artifact path"):
        tracker.attach(path, b"content")
    tracker.close(60)
    assert {file.name for file in tmp_path.iterdir()} == {"metrics.jsonl"}


def test_a_journal_that_was_tampered_with_sends_nothing_from_elsewhere(
    stored: RunRequest, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "artifacts.jsonl").write_text(
        '{"time": 1, "artifact": "../secret"}\n{"time": 1, "artifact": 7}\n'
    )
    assert end_run(tmp_path, stored, "FINISHED") is None
    client = connect(stored.uri)
    run_id = only_run(client, stored)
    assert paths_of(client, run_id) == set()
    # It is complained of once.
    assert Outbox(tmp_path, run_id).next_file() is None


@pytest.mark.faults
def test_a_full_disk_leaves_the_older_file(tmp_path: Path) -> None:
    tracker = RunTracker(tmp_path, None)
    tracker.attach(PICTURES, b"older")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            tracker.attach(PICTURES, b"newer" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    tracker.close(60)
    folder = (tmp_path / "artifacts" / PICTURES).parent
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"pictures.png": b"older"}
    assert count_undelivered_files(tmp_path) == 1
