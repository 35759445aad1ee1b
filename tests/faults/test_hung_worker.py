"""A worker that hangs is ended, says where it hung, and is started again."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from running import command, environment, journal

from service.cluster.watchdog import stack_files

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(290)]

TIMEOUT = 15  # seconds a collective operation may take


def _wait_until(holds: Callable[[], bool], driver: "subprocess.Popen[str]") -> None:
    while not holds():
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.05)


def test_a_file_server_that_hangs_and_comes_back(tmp_path: Path) -> None:
    options = ("name=run", "training.duration=10ep", "training.log_every=1")
    saving = ("checkpoint.every_steps=2", "tracking.enabled=false")
    cluster = ("cluster.num_workers=2", f"cluster.collective_timeout={TIMEOUT}")
    driver = subprocess.Popen(
        command(tmp_path, *options, *saving, *cluster),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    run = tmp_path / "run"
    try:
        _wait_until(lambda: any(run.glob("step_*")), driver)
        picture = next(iter((tmp_path / "datasets").glob("*/train/*/*")))
        aside = tmp_path / "aside"
        # Who opens it waits for ever, as for a file server that does not answer.
        os.mkfifo(tmp_path / "pipe")
        picture.rename(aside)
        (tmp_path / "pipe").rename(picture)
        _wait_until(lambda: len(stack_files(run)) == 2, driver)
        aside.replace(picture)
        output, _ = driver.communicate(timeout=200)
    finally:
        driver.kill()
    assert driver.returncode == 0, output
    assert "and go on from the checkpoint of step" in output
    assert f"where each worker hung: {run / 'stacks'}" in output
    steps = [r.step for r in journal(tmp_path, "run") if "train/loss" in r.metrics]
    assert steps == list(range(1, 8 * 10 + 1))
    stacks = [file.read_text() for file in stack_files(run)]
    assert any("read_bytes" in text for text in stacks)
    assert all("train_on_worker" in text for text in stacks)
