"""Importing MLflow costs a second, which training processes do not pay."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_training_process_does_not_import_mlflow_itself(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import service.tracking.address, service.tracking.links, service.tracking.parameters
from service.tracking.tracker import RunTracker, end_run, start_run
tracker = RunTracker(Path({str(tmp_path)!r}), None)
tracker.log(1, {{"train/loss": 1.0}})
tracker.close(60)
sys.exit("mlflow" in sys.modules or "ray" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
