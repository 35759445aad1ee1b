"""A worker killed with SIGKILL in mid-epoch leaves no trace in what the run produces."""

import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import torch
from running import client, command, environment, journal, run_pipeline

from service.training.checkpoint import read_checkpoint

OPTIONS = (
    "name=run",
    "training.duration=10ep",
    "training.deterministic=true",
    "training.average.enabled=true",
    "checkpoint.every_steps=3",
    "cluster.num_workers=2",
)
STEPS = 80
LAST = "step_00000080"

pytestmark = [pytest.mark.faults, pytest.mark.timeout(280)]


def _workers(driver: psutil.Process) -> list[psutil.Process]:
    return [p for p in driver.children(recursive=True) if "RayTrainWorker" in " ".join(_line(p))]


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _last_step(storage: Path) -> int:
    return max((record.step for record in journal(storage, "run")), default=0)


def _wait_for_step(driver: subprocess.Popen[str], storage: Path, step: int) -> None:
    while _last_step(storage) < step:
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.01)


def _kill_a_worker_in_mid_epoch(storage: Path) -> tuple[subprocess.CompletedProcess[str], int]:
    driver = subprocess.Popen(
        command(storage, *OPTIONS),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _wait_for_step(driver, storage, 2)
        # Found beforehand: looking for processes takes as long as several steps.
        victim = _workers(psutil.Process(driver.pid))[-1]
        _wait_for_step(driver, storage, 20)
        victim.kill()
        at = _last_step(storage)
        output, _ = driver.communicate(timeout=200)
    finally:
        driver.kill()
    return subprocess.CompletedProcess([], driver.returncode, output), at


def test_the_run_ends_with_the_same_bits_and_one_complete_record(tmp_path: Path) -> None:
    twin, storage = tmp_path / "twin", tmp_path / "killed"
    undisturbed = run_pipeline(twin, *OPTIONS)
    assert undisturbed.returncode == 0, undisturbed.stderr
    storage.mkdir()
    shutil.copytree(twin / "datasets", storage / "datasets")
    disturbed, killed_at = _kill_a_worker_in_mid_epoch(storage)
    assert disturbed.returncode == 0, disturbed.stdout
    assert 20 <= killed_at < STEPS

    expected = read_checkpoint(twin / "run" / LAST)
    found = read_checkpoint(storage / "run" / LAST)
    for name, tensor in expected.model.items():
        assert torch.equal(tensor, found.model[name]), name
    for name, tensor in (expected.ema or {}).items():
        assert torch.equal(tensor, (found.ema or {})[name]), name
    assert expected.metrics["val/top1"] == found.metrics["val/top1"]

    def metrics(folder: Path, prefix: str) -> list[tuple[int, str, float]]:
        rows = [(r.step, k, v) for r in journal(folder, "run") for k, v in r.metrics.items()]
        return [row for row in rows if row[1].startswith(prefix)]

    for prefix in ("train/", "val/"):
        assert metrics(storage, prefix) == metrics(twin, prefix)
    runs = client(storage).search_runs(["1"])
    assert [run.info.status for run in runs] == ["FINISHED"]
    history = client(storage).get_metric_history(runs[0].info.run_id, "train/loss")
    steps = Counter(point.step for point in history)
    assert steps == Counter(range(2, STEPS + 1, 2))
