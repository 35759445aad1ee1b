"""`pipelines/sweep.py` as a team uses it: real trials on real Ray, a real MLflow store."""

import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import running
from mlflow.entities import Run
from small_pictures import write_parquet

from service.cluster.session import Cluster
from service.cluster.sweeps.pipeline import run_sweep_pipeline
from service.config.cifar import CIFARConfig
from service.config.loading import load
from service.search.ledger import Ledger
from service.search.trials import Trial
from service.training.checkpoint_files import CONFIG
from service.training.retention import checkpoint_folders

pytestmark = pytest.mark.timeout(280)

DEFAULT = running.ROOT / "configs" / "sweep" / "p_l.yaml"
SMALL = (
    "model.depth=8",
    "model.width=4",
    "training.batch_size=32",
    "training.log_every=2",
    "tracking.system_metrics_every=null",
    "name=sweep",
    running.OWN_CLUSTER,
)
STEPS = 8  # of an epoch


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    write_parquet(root, "train", 32 * STEPS)
    write_parquet(root, "test", 64)
    return root


def options(storage: Path, pictures: Path, *more: str) -> list[str]:
    data = ("data.kind=parquet", f"data.root={pictures}", f"storage.path={storage}")
    return [*SMALL, *data, *more]


def start(line: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*running.program("sweep"), *line],
        env=running.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(driver: "subprocess.Popen[str]") -> str:
    try:
        output, _ = driver.communicate(timeout=240)
    finally:
        driver.kill()
    return output


def found_by(storage: Path) -> list[Run]:
    return list(running.client(storage).search_runs(["1"]))


def runs(storage: Path) -> dict[str, Run]:
    """Returns the sweep's runs in MLflow by the trial's number, the summary as `summary`."""
    found = found_by(storage)
    keys = [run.data.tags.get("trial", "summary") for run in found]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, found, strict=True))


def wait_for(storage: Path, driver: "subprocess.Popen[str]", event: str, count: int) -> None:
    """Waits until the ledger holds so many events of a kind."""
    ledger = storage / "sweep" / "trials.jsonl"
    while True:
        text = ledger.read_text() if ledger.exists() else ""
        if text.count(f'"event": "{event}"') >= count:
            return
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.05)


@pytest.mark.slow  # two minutes
def test_losers_are_stopped_and_a_trial_that_always_fails_holds_up_nobody(
    tmp_path: Path, pictures: Path
) -> None:
    space = (
        "sweep.space={model.regularizer.p_l: {kind: choice, values: [0.9]}, "
        "optimizer.lr: {kind: choice, values: [0.1, 1.0e-6, 1.0e+30]}}"
    )
    asha = ("sweep.scheduler.kind=asha", "sweep.keep=1", "sweep.concurrent_trials=1")
    length = ("training.duration=3ep", "training.max_skipped_steps=2")
    output = finish(start(options(tmp_path, pictures, *asha, *length, space)))
    ledger = Ledger(tmp_path / "sweep" / "trials.jsonl")
    trials = ledger.trials
    # The shuffled grid begins with 0.1, so that there is somebody to fall behind.
    found_status = {trial.point["optimizer.lr"]: trial.status for trial in trials}
    expected = {0.1: "finished", 1e-6: "stopped", 1e30: "failed"}
    assert found_status == expected, output
    assert "placement groups left: 0\n" in output
    assert "compare the trials: http" in output
    (failed,) = [trial for trial in trials if trial.status == "failed"]
    assert "steps in a row" in str(failed.reason)
    (stopped,) = [trial for trial in trials if trial.status == "stopped"]
    assert "at epoch 1 of 3" in str(stopped.reason)
    assert ledger.epochs == 3 + 1

    _is_recorded(tmp_path, trials)
    folders = {
        t.number: checkpoint_folders(tmp_path / f"sweep/trial_{t.number:03d}") for t in trials
    }
    best = int(runs(tmp_path)["summary"].data.tags["best_trial"])
    assert {number for number, kept in folders.items() if kept} == {best}
    winner = load(CIFARConfig, [tmp_path / "sweep" / "best.yaml"])
    assert winner.name is None
    assert winner.optimizer.lr == ledger[best].point["optimizer.lr"]


def _is_recorded(storage: Path, trials: list[Trial]) -> None:
    """Checks MLflow: a flat run for each trial, with its figures and its end, and a summary."""
    found = runs(storage)
    assert set(found) == {"summary", *(f"{number:03d}" for number in range(1, 4))}
    statuses = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
    for trial in trials:
        run = found[f"{trial.number:03d}"]
        assert run.info.status == statuses[trial.status]
        assert run.data.tags["sweep"] == "sweep"
        assert float(run.data.params["P_L"]) == trial.point["model.regularizer.p_l"]
        assert float(run.data.params["lr"]) == trial.point["optimizer.lr"]
        assert "mlflow.parentRunId" not in run.data.tags
        if trial.results:
            assert run.data.metrics["val/top1"] == trial.results[-1].value
    client = running.client(storage)
    (failed,) = [trial for trial in trials if trial.status == "failed"]
    failure = found[f"{failed.number:03d}"].info.run_id
    assert "failure.txt" in {file.path for file in client.list_artifacts(failure)}
    summary = found["summary"]
    assert summary.info.status == "FINISHED"
    files = {file.path for file in client.list_artifacts(summary.info.run_id)}
    report = {"trials.csv", "trials.md", "parallel_coordinates.png", "response.png"}
    assert {*report, "best_so_far.png", "best.yaml", "sweep.yaml"} <= files


def test_after_a_killed_worker_and_a_killed_driver_nothing_is_lost_or_done_twice(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = options(
        tmp_path,
        pictures,
        "training.duration=3ep",
        "sweep.concurrent_trials=1",
        "cluster.cpus_per_worker=1",
        "sweep.space={model.regularizer.p_l: {kind: choice, values: [0.2, 0.8]}}",
    )
    driver = start(line)
    wait_for(tmp_path, driver, "result", 1)
    family = psutil.Process(driver.pid).children(recursive=True)
    next(p for p in family if "RayTrainWorker" in " ".join(p.cmdline())).kill()
    wait_for(tmp_path, driver, "ended", 1)
    wait_for(tmp_path, driver, "proposed", 2)
    wait_for(tmp_path, driver, "result", 4)
    driver.kill()
    driver.communicate()
    first = tmp_path / "sweep" / "trial_001" / "metrics.jsonl"
    before = first.read_bytes()

    assert run_sweep_pipeline(DEFAULT, line) == 2
    assert "the sweep sweep exists" in capsys.readouterr().err
    output = finish(start([*line, "--resume"]))
    assert "winner: trial" in output, output
    assert first.read_bytes() == before
    trials = Ledger(tmp_path / "sweep" / "trials.jsonl").trials
    assert [trial.status for trial in trials] == ["finished"] * 2
    for trial in trials:
        assert [result.epoch for result in trial.results] == [1, 2, 3]
    found = runs(tmp_path)
    assert {key: run.info.status for key, run in found.items()} == dict.fromkeys(
        ("001", "002", "summary"), "FINISHED"
    )
    for number in ("001", "002"):
        run_id = found[number].info.run_id
        history = running.client(tmp_path).get_metric_history(run_id, "val/top1")
        assert Counter(m.step for m in history) == Counter(STEPS * e for e in (1, 2, 3))


@pytest.mark.slow  # a minute
def test_a_driver_that_is_killed_after_three_seconds_has_closed_all_runs(
    tmp_path: Path, pictures: Path
) -> None:
    """As `ray job stop` does it, long before trials on two cores have ended."""
    space = "sweep.space={model.regularizer.p_l: {kind: choice, values: [0.2, 0.8]}}"
    two = ("sweep.concurrent_trials=2", "cluster.cpus_per_worker=1", "training.duration=400ep")
    driver = start(options(tmp_path, pictures, *two, space))
    try:
        wait_for(tmp_path, driver, "result", 1)
        # A run is tagged just after it was created.
        while sum("trial" in run.data.tags for run in found_by(tmp_path)) < 2:
            assert driver.poll() is None, driver.communicate()[0]
            time.sleep(0.05)
        driver.send_signal(signal.SIGTERM)
        time.sleep(3)
    finally:
        driver.kill()
    output, _ = driver.communicate()
    assert "asked to stop: trials save a checkpoint first" in output
    found = runs(tmp_path)
    assert {key: run.info.status for key, run in found.items()} == dict.fromkeys(
        ("001", "002", "summary"), "KILLED"
    )
    assert found["summary"].data.tags["status_reason"] == "asked to stop; --resume goes on"
    for number in ("001", "002"):
        assert found[number].data.tags["status_reason"].startswith("the sweep was stopped at epoch")


@pytest.mark.slow  # a minute and a half
def test_a_population_goes_on_from_its_best_without_new_workers(
    tmp_path: Path, pictures: Path
) -> None:
    space = (
        "sweep.space={model.regularizer.p_l: {kind: uniform, low: 0.3, high: 0.9}, "
        "optimizer.lr: {kind: log_uniform, low: 1.0e-3, high: 0.2}}"
    )
    more = ("sweep.search.kind=random", "sweep.trials=2", "sweep.scheduler.kind=pbt", space)
    half = ("sweep.scheduler.quantile=0.5", "training.duration=3ep", "checkpoint.keep=9")
    output = finish(start(options(tmp_path, pictures, *more, *half)))
    trials = Ledger(tmp_path / "sweep" / "trials.jsonl").trials
    assert [trial.status for trial in trials] == ["finished"] * 2, output
    takeovers = [(t, change) for t in trials for change in t.changes[1:]]
    assert [change.epoch for _, change in sorted(takeovers, key=lambda c: c[1].epoch)] == [1, 2]
    for trial, change in takeovers:
        folder = tmp_path / "sweep" / f"trial_{trial.number:03d}"
        turns = [json.loads(file.read_text()) for file in sorted(folder.glob("turns/*"))]
        assert "stop" not in {turn["action"] for turn in turns}
        assert not (folder / "adopted").exists()  # the trial is over
        after = folder / f"step_{round(STEPS * change.epoch) + STEPS:08d}"
        trained_with = load(CIFARConfig, [after / CONFIG])
        assert trained_with.model.regularizer.p_l == change.point["model.regularizer.p_l"]
        assert trained_with.optimizer.lr == change.point["optimizer.lr"]
    # One process for each trial, from its first step to its last.
    for number in (1, 2):
        started = (tmp_path / f"sweep/trial_{number:03d}/turns").glob("*.json")
        assert len(list(started)) == 2


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "sweep.space={model.regularizer.pl: {kind: choice, values: [1]}}",
            "unknown option 'model.regularizer.pl': did you mean model.regularizer.p_l",
        ),
        (
            "sweep.space={model.regularizer.level: {kind: choice, values: [3]}}",
            "sweep.space: model.regularizer.level: 3 is not allowed",
        ),
        (
            "sweep.space={model.regularizer.p_l: {kind: uniform, low: 0, high: 2, points: 3}}",
            "sweep.space: model.regularizer.p_l: 2.0 is not allowed",
        ),
        (
            "sweep.constraints=['model.regularizer.p_l > 1']",
            "sweep.constraints: 'model.regularizer.p_l > 1' holds for no point of the space",
        ),
        ("sweep.metric=val/map", "sweep.metric: val/map is not measured; choose from val/top1"),
        ("sweep.search.kind=random", "sweep.trials"),
        ("data.root=missing", "data.root: "),
        ("cluster.num_workers=0", "cluster.num_workers: a trial needs at least 1 worker"),
    ],
)
def test_bad_input_is_one_line_before_anything_starts(
    tmp_path: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    message: str,
) -> None:
    # No cluster for a question of arithmetic.
    nothing = Cluster([], ours=True)
    monkeypatch.setattr("service.cluster.sweeps.launch.join", lambda *_, **__: nothing)
    monkeypatch.setattr("service.cluster.sweeps.launch.leave", lambda: None)
    storage = tmp_path / "runs"
    assert run_sweep_pipeline(DEFAULT, options(storage, pictures, option)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {message}") or message in lines[0]
    assert not (storage / "sweep").exists()
