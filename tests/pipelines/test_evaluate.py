"""`pipelines/evaluate.py` after `pipelines/imagenet.py`, as a researcher uses them."""

import json
import sys
from pathlib import Path

import pytest
import running

sys.path.insert(0, str(running.ROOT / "pipelines"))
from imagenet import PIPELINE

pytestmark = pytest.mark.timeout(280)


def test_the_figures_of_a_run_come_again(tmp_path: Path) -> None:
    run = ("name=run", "training.duration=1ep", "data.evaluation_pictures=21")
    assert running.train_here(PIPELINE, tmp_path, *running.SMALL, *run) == 0
    (record,) = [one for one in running.journal(tmp_path, "run") if "val/top1" in one.metrics]
    run_id = running.client(tmp_path).search_runs(["1"])[0].info.run_id
    program, file = running.program("evaluate"), tmp_path / "figures.json"
    options = ["--checkpoint", f"runs:/{run_id}", "--output", str(file)]
    done = running.run([*program, *options, f"storage.path={tmp_path}"])
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())["figures"]
    assert figures["top1"] == record.metrics["val/top1"]
    # Other threads add single-precision numbers in another order.
    assert figures["loss"] == pytest.approx(record.metrics["val/loss"], rel=1e-5)
    assert "in training" in done.stdout
    # They are added to the run, and what training measured stays.
    logged = running.client(tmp_path).get_run(run_id)
    assert logged.data.metrics["evaluation/drawn/top1"] == figures["top1"]
    assert logged.data.metrics["val/top1"] == record.metrics["val/top1"]
    assert logged.info.status == "FINISHED"
