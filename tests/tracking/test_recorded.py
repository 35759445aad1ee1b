"""What MLflow knows of runs is found again by their folders."""

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from service.tracking.client import TrackingUnavailableError
from service.tracking.recorded import named_files, recorded_run, recorded_runs
from service.tracking.request import RunRequest, run_key
from service.tracking.runs import finish_run, open_run


def test_a_run_is_found_by_its_folder(
    client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    started = open_run(client, served)
    client.log_metric(started.run_id, "val/best_top1", 71.5, step=10)
    finish_run(client, started.run_id, "FAILED", "ValueError: no", {"checkpoint": "/a/step_1"})
    other = replace(served, key=run_key(tmp_path, "b-run"), name="b-run", experiment="elsewhere")
    open_run(client, other)
    found = recorded_run(served.uri, tmp_path, "a-run")
    assert found is not None
    assert (found.run_id, found.url, found.status) == (started.run_id, started.url, "FAILED")
    assert found.metrics == {"val/best_top1": 71.5}
    assert found.tags["status_reason"] == "ValueError: no"
    (data,) = found.data
    assert (data.name, data.digest) == ("drawn-train", "0123abcd")
    assert (data.source, data.samples) == ("drawn", "3000")
    assert recorded_run(served.uri, tmp_path, "c-run") is None
    keys = {run.key for run in recorded_runs(served.uri)}
    assert {served.key, other.key} <= keys


def test_what_tags_and_models_name_is_found(client: MlflowClient, served: RunRequest) -> None:
    started = open_run(client, served)
    client.set_tag(started.run_id, "checkpoint", "/runs/a-run/step_00000120")
    client.create_registered_model("recorded")
    client.create_model_version("recorded", "s3://bucket/runs/b-run/step_00000240")
    named = named_files(served.uri)
    assert "/runs/a-run/step_00000120" in named
    assert "s3://bucket/runs/b-run/step_00000240" in named


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    with pytest.raises(TrackingUnavailableError, match=f"there is no database {file}"):
        recorded_runs(f"sqlite:///{file}")
    assert not file.exists()
