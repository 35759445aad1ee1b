"""Workers killed with SIGKILL leave no trace in what the run produces."""

import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import torch
from running import client, command, environment, events, journal, run_pipeline

from service.training.checkpoint import read_checkpoint
from service.training.retention import checkpoint_folder, checkpoint_folders

EVERY = 3
OPTIONS = (
    "name=run",
    "training.duration=7ep",
    "training.deterministic=true",
    "training.average.enabled=true",
    "training.log_every=1",
    f"checkpoint.every_steps={EVERY}",
    "cluster.num_workers=2",
)
STEPS = 56
LAST = "step_00000056"

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


def _wait_for_checkpoint(driver: subprocess.Popen[str], storage: Path, after: int) -> None:
    """Returns just after the first checkpoint behind a step was written."""
    first = checkpoint_folder(storage / "run", after)
    while not any(folder > first for folder in checkpoint_folders(storage / "run")[:1]):
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.001)


def _kill_workers_in_mid_epoch(storage: Path) -> subprocess.CompletedProcess[str]:
    """Kills a follower between two checkpoints, and then the leader just after one."""
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
        reached = _last_step(storage)
        _wait_for_step(driver, storage, reached + 2)
        victim = _workers(psutil.Process(driver.pid))[0]
        _wait_for_checkpoint(driver, storage, 36)
        victim.kill()
        output, _ = driver.communicate(timeout=200)
    finally:
        driver.kill()
    return subprocess.CompletedProcess([], driver.returncode, output)


def test_the_run_ends_with_the_same_bits_and_one_complete_record(tmp_path: Path) -> None:
    twin, storage = tmp_path / "twin", tmp_path / "killed"
    undisturbed = run_pipeline(twin, *OPTIONS)
    assert undisturbed.returncode == 0, undisturbed.stderr
    storage.mkdir()
    shutil.copytree(twin / "datasets", storage / "datasets")
    disturbed = _kill_workers_in_mid_epoch(storage)
    assert disturbed.returncode == 0, disturbed.stdout

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
    assert steps == Counter(range(1, STEPS + 1))

    told = [text for text in events(storage, "run") if "started again" in text]
    repeated = [int(re.findall(r"(\d+) steps are done again", text)[0]) for text in told]
    assert len(repeated) == 2
    assert all(re.search(r"\(worker \d: \w+: .*\)", text) for text in told)
    # A checkpoint is written while the next step runs.
    assert max(repeated) <= EVERY + 1
    recovery = client(storage).get_metric_history(runs[0].info.run_id, "time/recovery_seconds")
    assert len(recovery) == 2
    assert all(0 < point.value < 200 for point in recovery)
