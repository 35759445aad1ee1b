"""A database of MLflow's is there whole or not at all."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from service.tracking.client import connect

_CONNECT = "import sys; from service.tracking.client import connect; connect(sys.argv[1])"


def _connecting(file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _CONNECT, f"sqlite:///{file}"])


def _tables(file: Path) -> int:
    with sqlite3.connect(file) as database:
        return len(database.execute("select name from sqlite_master").fetchall())


def test_a_process_that_is_killed_meanwhile_leaves_none(tmp_path: Path) -> None:
    file = tmp_path / "runs" / "mlflow.db"
    making = _connecting(file)
    until = time.monotonic() + 60
    while not (unfinished := [*tmp_path.glob("runs/.*-mlflow.db")]) or not _tables(unfinished[0]):
        assert time.monotonic() < until
        assert making.poll() is None
    making.kill()
    making.wait()
    assert not file.exists()
    assert connect(f"sqlite:///{file}").search_experiments()


def test_two_processes_at_once_make_one(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    making = [_connecting(file) for _ in range(2)]
    assert [one.wait(120) for one in making] == [0, 0]
    (experiment,) = connect(f"sqlite:///{file}").search_experiments()
    assert experiment.name == "Default"
    assert [*tmp_path.iterdir()] == [file]
