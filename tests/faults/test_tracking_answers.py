"""Answers of a tracking server that are lost, late, cut or errors: every figure is there once."""

from functools import partial
from pathlib import Path

import pytest
from histories import (
    check_complete,
    events,
    log,
    nothing_waits,
    opened,
    wait_for,
    wait_for_threads,
)
from mlflow.tracking import MlflowClient
from serving import (
    FaultyProxy,
    Relay,
    but_health,
    cut,
    lost,
    only,
    passed,
    refusing,
    slow,
)

from service.tracking.outbox import count_undelivered
from service.tracking.request import RunRequest
from service.tracking.tracker import RunTracker, end_run, start_run

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]


class Losing:
    """Each request that changes something is carried out, and its first answers are lost."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._seen: dict[tuple[str, str, bytes], int] = {}

    def __call__(self, relay: Relay) -> None:
        # The body of an update has the time in it.
        body = b"" if relay.path.endswith("/runs/update") else relay.body
        request = (relay.command, relay.path, body)
        count = self._seen[request] = self._seen.get(request, 0) + 1
        changes = relay.command != "GET" and not relay.path.endswith("/search")
        (lost if changes and count <= self._answers else passed)(relay)


@pytest.mark.parametrize("answers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_was_carried_out_though_its_answer_was_lost_is_there_once(
    answers: int, proxy: FaultyProxy, client: MlflowClient, request_at: RunRequest, tmp_path: Path
) -> None:
    # MLflow's client asks twice by itself; more than that is for the next delivery.
    proxy.fault = Losing(answers)
    tracker = RunTracker(tmp_path, request_at, ship_every=0.02)
    for last in (10, 20):
        log(tracker, range(last - 9, last + 1))
        tracker.attach(f"evaluation/{last}.txt", b"%d" % last)
        wait_for(lambda: nothing_waits(tmp_path))
    assert tracker.close(60) == 0
    wait_for(lambda: end_run(tmp_path, request_at, "FINISHED", tags={"best": "20"}) is None)
    run = check_complete(client, request_at, tmp_path, 20)
    assert run.data.tags["best"] == "20"
    files = [file.path for file in client.list_artifacts(run.info.run_id, "evaluation")]
    assert files == [f"evaluation/{last}.txt" for last in (10, 20)]


def test_a_request_that_is_carried_out_after_everything_else_leaves_one_run(
    proxy: FaultyProxy, client: MlflowClient, request_at: RunRequest, tmp_path: Path
) -> None:
    late: list[Relay] = []

    def held_back(relay: Relay) -> None:
        relay.close_connection = True
        late.append(relay)
        proxy.fault = passed

    proxy.fault = only("/runs/create", held_back)
    run_id = opened(tmp_path, request_at)
    tracker = RunTracker(tmp_path, request_at, run_id=run_id, ship_every=0.02)
    log(tracker, range(1, 11))
    assert tracker.close(60) == 0
    late[0].forward()
    assert end_run(tmp_path, request_at, "FINISHED", run_id=run_id) is None
    assert check_complete(client, request_at, tmp_path, 10).info.run_id == run_id


FAULTS = {
    "503": but_health(refusing(503, Retry_After="3600")),
    "500": but_health(refusing(500)),
    "429": but_health(refusing(429, Retry_After="3600")),
    "503 at all": refusing(503),
    "cut in the answer": but_health(cut),
    "cut in the answer to a batch": only("log-batch", cut),
    "HTML of another server": but_health(refusing(200)),
}


@pytest.mark.parametrize(
    "fault",
    [pytest.param(name, marks=[pytest.mark.slow] if name != "503" else []) for name in FAULTS],
)
def test_a_server_that_fails_for_a_while_is_told_of_once_and_misses_nothing(
    fault: str, proxy: FaultyProxy, client: MlflowClient, request_at: RunRequest, tmp_path: Path
) -> None:
    run_id = opened(tmp_path, request_at)
    tracker = RunTracker(tmp_path, request_at, run_id=run_id, ship_every=0.02)
    log(tracker, range(1, 51))
    wait_for(lambda: nothing_waits(tmp_path))
    proxy.fault = FAULTS[fault]
    asked = len(proxy.asked)
    log(tracker, range(51, 101))
    wait_for(lambda: len(proxy.asked) >= asked + 6)  # several attempts
    log(tracker, range(101, 151))
    assert len(events(tmp_path)) == 1
    proxy.fault = passed
    wait_for(lambda: len(events(tmp_path)) == 2)
    assert tracker.close(60) == 0
    assert end_run(tmp_path, request_at, "FINISHED", run_id=run_id) is None
    check_complete(client, request_at, tmp_path, 150)
    gone, back = events(tmp_path)
    assert proxy.uri in gone
    assert str(tmp_path) in gone
    assert "nothing was lost" in back


def test_of_a_server_that_fails_at_the_start_the_driver_tells_and_of_its_return_the_run(
    proxy: FaultyProxy,
    client: MlflowClient,
    request_at: RunRequest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy.fault = but_health(refusing(500))
    assert start_run(tmp_path, request_at) is None
    assert sum(record.name.startswith("service") for record in caplog.records) == 1
    tracker = RunTracker(tmp_path, request_at, ship_every=0.02)
    asked = len(proxy.asked)
    log(tracker, range(1, 11))
    wait_for(lambda: len(proxy.asked) >= asked + 4)  # several attempts
    assert events(tmp_path) == []
    proxy.fault = passed
    wait_for(lambda: bool(events(tmp_path)))
    assert tracker.close(60) == 0
    assert end_run(tmp_path, request_at, "FINISHED") is None
    check_complete(client, request_at, tmp_path, 10)
    (back,) = events(tmp_path)
    assert "nothing was lost" in back


@pytest.mark.slow
def test_a_server_that_comes_and_goes_is_told_of_once(
    proxy: FaultyProxy, client: MlflowClient, request_at: RunRequest, tmp_path: Path
) -> None:
    run_id = opened(tmp_path, request_at)
    tracker = RunTracker(tmp_path, request_at, run_id=run_id, ship_every=0.02)

    def refused_since(count: int) -> bool:
        # The first and its repetition.
        return sum("log-batch" in request for request in proxy.asked[count:]) >= 2

    for step in range(1, 6):
        proxy.fault = only("log-batch", refusing(500))
        asked = len(proxy.asked)
        log(tracker, range(step, step + 1))
        wait_for(partial(refused_since, asked))
        proxy.fault = passed
        wait_for(lambda: nothing_waits(tmp_path))
    assert tracker.close(60) == 0
    assert end_run(tmp_path, request_at, "FINISHED", run_id=run_id) is None
    check_complete(client, request_at, tmp_path, 5)
    assert len(events(tmp_path)) == 2


@pytest.mark.slow
def test_a_server_too_slow_for_a_large_batch_gets_small_ones(
    proxy: FaultyProxy,
    client: MlflowClient,
    request_at: RunRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")

    def laborious(relay: Relay) -> None:
        slow(relay.body.count(b'"step"') / 200)(relay)

    run_id = opened(tmp_path, request_at)
    proxy.fault = only("log-batch", laborious)
    tracker = RunTracker(tmp_path, request_at, run_id=run_id, ship_every=0.02)
    log(tracker, range(1, 301))
    wait_for(lambda: nothing_waits(tmp_path))
    assert tracker.close(60) == 0
    assert end_run(tmp_path, request_at, "FINISHED", run_id=run_id) is None
    check_complete(client, request_at, tmp_path, 300)


@pytest.mark.slow
def test_answers_that_take_two_seconds_each_are_waited_for_in_the_background(
    proxy: FaultyProxy, client: MlflowClient, request_at: RunRequest, tmp_path: Path
) -> None:
    run_id = opened(tmp_path, request_at)
    proxy.fault = slow(2.0)
    tracker = RunTracker(tmp_path, request_at, run_id=run_id, ship_every=0.1)
    log(tracker, range(1, 201))
    assert count_undelivered(tmp_path) == 200
    wait_for(lambda: nothing_waits(tmp_path))
    assert tracker.close(60) == 0
    line = end_run(tmp_path, request_at, "FINISHED", run_id=run_id, deadline=1)
    assert line is not None
    assert "0 records and the status FINISHED" in line
    wait_for_threads()
    # What was left behind has closed the run all the same.
    check_complete(client, request_at, tmp_path, 200)
