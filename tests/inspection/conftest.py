"""A storage folder with runs."""

from pathlib import Path

import making_runs
import pytest
from making_runs import MakeRun


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes a run of the given name in the test's folder."""
    return lambda name, *rest: making_runs.make_run(tmp_path / name, *rest)
