"""Two drivers want one run, and a driver that was given up wakes again: the run stays whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import ROOT, SMALL, command, environment, journal, run_pipeline

from service.cluster import pipeline as pipelines

sys.path.insert(0, str(ROOT / "pipelines"))
from imagenet import PIPELINE

OPTIONS = ("--local", "name=run", "tracking.enabled=false", "training.log_every=1")

pytestmark = [pytest.mark.faults, pytest.mark.timeout(280)]


def started(storage: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(storage, *options, "training.duration=100000st"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def resumed(storage: Path, steps: int) -> int:
    """Goes on with the run in this process; returns the exit status."""
    line = ["--resume", f"storage.path={storage}", *SMALL, *OPTIONS]
    return pipelines.run_pipeline(PIPELINE, [*line, f"training.duration={steps}st"])


def logged(storage: Path) -> list[int]:
    return [record.step for record in journal(storage, "run") if "train/loss" in record.metrics]


def wait_for_step(driver: subprocess.Popen[str], storage: Path, step: int) -> None:
    while max(logged(storage), default=0) < step:
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.02)


def test_a_second_driver_is_refused_until_the_first_is_dead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = started(tmp_path, *OPTIONS)
    try:
        wait_for_step(first, tmp_path, 10)
        config = (tmp_path / "run" / "config.yaml").read_text()
        assert resumed(tmp_path, 20) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert said.startswith(f"error: name: the run run is driven by process {first.pid} on ")
        assert (tmp_path / "run" / "config.yaml").read_text() == config
        wait_for_step(first, tmp_path, max(logged(tmp_path)) + 3)
    finally:
        first.kill()
    # Its process stays listed as dead until somebody asks for its exit status.
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    steps = max(logged(tmp_path)) + 4
    assert resumed(tmp_path, steps) == 0, capsys.readouterr()
    first.communicate()
    assert logged(tmp_path) == list(range(1, steps + 1))


def test_a_suspended_driver_that_lost_its_run_writes_nothing_when_it_wakes(tmp_path: Path) -> None:
    first = started(tmp_path, *OPTIONS, "checkpoint.every_steps=1", "checkpoint.keep=1000000")
    try:
        wait_for_step(first, tmp_path, 10)
        first.send_signal(signal.SIGSTOP)
        _age(tmp_path / "run" / "driver.json")
        steps = max(logged(tmp_path)) + 4
        assert resumed(tmp_path, steps) == 0
        kept = _files(tmp_path / "run")
        first.send_signal(signal.SIGCONT)
        said, _ = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 1
    assert "driven by another process meanwhile" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert _files(tmp_path / "run") == kept
    assert logged(tmp_path) == list(range(1, steps + 1))


def _age(file: Path) -> None:
    """Makes a driver one of another machine that has shown no sign of life for two minutes."""
    file.write_text(json.dumps(json.loads(file.read_text()) | {"place": "elsewhere"}))
    then = time.time() - 120
    os.utime(file, (then, then))


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Returns size and time of everything in a run's folder; a stopped write may lie about."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }


@pytest.mark.slow  # Ray starts twice
def test_a_run_goes_on_at_once_after_its_driver_on_ray_was_killed(tmp_path: Path) -> None:
    options = (
        "name=run",
        "cluster.num_workers=2",
        "tracking.enabled=false",
        "training.log_every=1",
        "checkpoint.every_steps=5",
    )
    first = started(tmp_path, *options)
    try:
        wait_for_step(first, tmp_path, 10)
    finally:
        first.kill()
    # Ray would end the run for it.
    (tmp_path / "run" / "checkpoint_manager_snapshot.json").write_text('{"checkpoint_re')
    steps = max(logged(tmp_path)) + 20
    done = run_pipeline(tmp_path, "--resume", *options, f"training.duration={steps}st")
    first.communicate()
    assert done.returncode == 0, done.stderr
    assert logged(tmp_path) == list(range(1, steps + 1))
