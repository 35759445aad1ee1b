"""A driver is asked to stop and killed seconds later, as `ray job stop` does it."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from running import client, command, environment, journal, run_pipeline

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(280)]

GRACE = 3  # seconds, Ray's own


def test_the_run_is_saved_closed_and_goes_on(tmp_path: Path) -> None:
    options = ("name=run", "cluster.num_workers=2", "training.log_every=1")
    driver = subprocess.Popen(
        command(tmp_path, *options, "training.duration=100000st"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        while max(_steps(tmp_path), default=0) < 10:
            assert driver.poll() is None, driver.communicate()[0]
            time.sleep(0.02)
        asked_at = max(_steps(tmp_path))
        driver.send_signal(signal.SIGTERM)
        time.sleep(GRACE)
    finally:
        driver.kill()
    output, _ = driver.communicate()
    assert "asked to stop: saving a checkpoint first" in output
    (run,) = client(tmp_path).search_runs(["1"])
    assert run.info.status == "KILLED"
    assert run.data.tags["status_reason"] == "asked to stop"
    saved = [int(path.name.removeprefix("step_")) for path in (tmp_path / "run").glob("step_*")]
    assert max(saved) >= asked_at

    steps = max(_steps(tmp_path)) + 20
    done = run_pipeline(tmp_path, "--resume", *options, f"training.duration={steps}st")
    assert done.returncode == 0, done.stderr
    assert _steps(tmp_path) == list(range(1, steps + 1))
    (run,) = client(tmp_path).search_runs(["1"])
    assert run.info.status == "FINISHED"


def _steps(storage: Path) -> list[int]:
    return [record.step for record in journal(storage, "run") if "train/loss" in record.metrics]
