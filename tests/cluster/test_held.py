"""Keeping drivers away from a run for a moment, and looking whether one lives."""

import os
import time
from pathlib import Path

import pytest
from making_runs import kill_a_driver_of

from service.cluster.driver_lock import held, living_driver, only_driver, was_left
from service.config.errors import ConfigurationError


def test_a_run_that_is_held_takes_no_driver_and_looks_untouched_afterwards(tmp_path: Path) -> None:
    with (
        held(tmp_path, "run"),
        pytest.raises(ConfigurationError, match="is driven by process"),
        only_driver(tmp_path, "run"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_living_driver_keeps_its_run(tmp_path: Path) -> None:
    with (
        only_driver(tmp_path, "run") as claim,
        pytest.raises(ConfigurationError, match="is driven by process"),
        held(tmp_path, "run"),
    ):
        claim.check()
    assert living_driver(tmp_path) is None


def test_what_a_killed_driver_left_stays_as_old_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "a-run"
    kill_a_driver_of(folder)
    file = folder / "driver.json"
    before, hour_ago = file.read_bytes(), time.time() - 3600
    os.utime(file, (hour_ago, hour_ago))
    with held(folder, "run"):
        assert file.read_bytes() != before
    assert file.read_bytes() == before
    assert file.stat().st_mtime == pytest.approx(hour_ago)
    assert was_left(folder)
    assert living_driver(folder) is None
    with only_driver(folder, "run"):  # it can be gone on with
        assert living_driver(folder) is not None
    assert not was_left(folder)


def test_an_error_inside_puts_it_back_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "a-run"
    kill_a_driver_of(folder)
    before = (folder / "driver.json").read_bytes()
    with pytest.raises(OSError, match="full"), held(folder, "run"):
        raise OSError("full")
    assert (folder / "driver.json").read_bytes() == before
