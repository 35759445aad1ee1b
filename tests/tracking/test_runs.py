"""One MLflow run for one run: found again, completed, never changed behind one's back."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import DatasetInput, Run, ViewType
from mlflow.tracking import MlflowClient

from service.tracking.client import TrackingUnavailableError, connect
from service.tracking.request import DatasetSplit, RunRequest
from service.tracking.runs import RUN_KEY_TAG, Status, finish_run, open_run, tidy_run


def artifact(client: MlflowClient, run_id: str, name: str, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    return Path(client.download_artifacts(run_id, name, str(folder))).read_text()


def inputs(run: Run) -> list[DatasetInput]:
    assert run.inputs is not None
    return list(run.inputs.dataset_inputs)


def test_a_new_run_holds_everything(
    client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    started = open_run(client, served)
    run = client.get_run(started.run_id)
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "a-run"
    assert client.get_experiment(started.experiment_id).name == served.experiment
    assert run.data.params == {"model": "resnet50", "P_L": "0.5", "epochs": "90"}
    assert run.data.tags[RUN_KEY_TAG] == served.key
    assert run.data.tags["config_digest"] == served.config_digest
    assert run.data.tags["checkpoint_uri"] == str(tmp_path)
    assert artifact(client, started.run_id, "config.yaml", tmp_path / "down") == served.config_yaml
    (entry,) = inputs(run)
    assert (entry.dataset.name, entry.dataset.digest) == ("drawn-train", "0123abcd")
    assert json.loads(entry.dataset.source) == {"uri": "drawn"}
    assert {tag.key: tag.value for tag in entry.tags} == {
        "mlflow.data.context": "train",
        "samples": "3000",
    }
    assert started.url.startswith(f"{served.uri}/#/experiments/{started.experiment_id}/runs/")


def test_a_resumed_run_is_the_same_run(
    client: MlflowClient, served: RunRequest, tmp_path: Path
) -> None:
    first = open_run(client, served)
    finish_run(client, first.run_id, "FAILED", "a worker was lost\nTraceback", {"best": "folder"})
    closed = client.get_run(first.run_id)
    assert closed.info.status == "FAILED"
    assert closed.info.end_time is not None
    assert closed.data.tags["status_reason"] == "a worker was lost"
    assert closed.data.tags["best"] == "folder"

    changed = replace(
        served,
        params={"model": "resnet50", "P_L": 0.25, "epochs": 90, "seed": 1},
        tags={"checkpoint_uri": "elsewhere"},
        config_yaml="model: {}\n",
        datasets=(*served.datasets, DatasetSplit("drawn-val", "4567", "drawn", "val", 500)),
    )
    for _ in range(2):
        assert open_run(client, changed) == first
    run = client.get_run(first.run_id)
    assert run.info.status == "RUNNING"
    assert "status_reason" not in run.data.tags
    assert run.data.params == {"model": "resnet50", "P_L": "0.5", "epochs": "90", "seed": "1"}
    assert run.data.tags["resumed_with.P_L"] == "0.25"
    assert run.data.tags["checkpoint_uri"] == "elsewhere"
    assert run.data.tags["config_digest"] == served.config_digest
    assert run.data.tags["resumed_with.config_digest"] == changed.config_digest
    assert len(inputs(run)) == 2
    later = f"config-{changed.config_digest}.yaml"
    assert {file.path for file in client.list_artifacts(first.run_id)} == {"config.yaml", later}
    down = tmp_path / "down"
    assert artifact(client, first.run_id, "config.yaml", down) == served.config_yaml
    assert artifact(client, first.run_id, later, down) == changed.config_yaml
    assert len(client.search_runs([first.experiment_id])) == 1


def test_a_run_that_was_created_and_no_more_is_completed(
    client: MlflowClient, served: RunRequest
) -> None:
    experiment = client.create_experiment(served.experiment)
    cut_off = client.create_run(experiment, tags={RUN_KEY_TAG: served.key})
    assert open_run(client, served).run_id == cut_off.info.run_id
    run = client.get_run(cut_off.info.run_id)
    assert run.data.params["P_L"] == "0.5"
    assert len(inputs(run)) == 1
    assert [file.path for file in client.list_artifacts(cut_off.info.run_id)] == ["config.yaml"]


class Impatient(MlflowClient):
    """Its request to create a run is carried out twice, as after a time-out and a retry."""

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: dict[str, str] | None = None,
        run_name: str | None = None,
    ) -> Run:
        super().create_run(experiment_id, start_time, tags, run_name)
        return super().create_run(experiment_id, start_time, tags, run_name)


def test_a_request_that_was_sent_twice_makes_one_run(
    client: MlflowClient, served: RunRequest
) -> None:
    started = open_run(Impatient(tracking_uri=served.uri), served)
    (run,) = client.search_runs([started.experiment_id])
    assert run.info.run_id == started.run_id
    assert run.data.params["P_L"] == "0.5"
    assert open_run(client, served) == started


def test_what_a_failing_server_left_is_tidied_at_the_end(
    client: MlflowClient, served: RunRequest
) -> None:
    experiment = client.create_experiment(served.experiment)
    run_id = client.create_run(experiment, tags={RUN_KEY_TAG: served.key}).info.run_id
    another = open_run(client, replace(served, key="another"))
    # A request to create the run that was carried out after everything else.
    client.create_run(experiment, start_time=1, tags={RUN_KEY_TAG: served.key})
    tidy_run(client, run_id, served)
    left = {run.info.run_id for run in client.search_runs([experiment])}
    assert left == {run_id, another.run_id}
    assert [file.path for file in client.list_artifacts(run_id)] == ["config.yaml"]


def test_of_two_runs_the_one_that_was_completed_counts(
    client: MlflowClient, served: RunRequest
) -> None:
    started = open_run(client, served)
    client.create_run(started.experiment_id, start_time=1, tags={RUN_KEY_TAG: served.key})
    assert open_run(client, served) == started


def test_two_runs_of_one_experiment_stay_apart(client: MlflowClient, served: RunRequest) -> None:
    first = open_run(client, served)
    second = open_run(client, replace(served, key="another", name="another-run"))
    assert first.experiment_id == second.experiment_id
    assert first.run_id != second.run_id


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_ends_as_it_ended(client: MlflowClient, served: RunRequest, status: Status) -> None:
    run_id = open_run(client, served).run_id
    finish_run(client, run_id, status, "\n", {})
    run = client.get_run(run_id)
    assert run.info.status == status
    assert "status_reason" not in run.data.tags


def test_a_deleted_experiment_is_said_to_be_deleted(
    client: MlflowClient, served: RunRequest
) -> None:
    client.delete_experiment(open_run(client, served).experiment_id)
    with pytest.raises(TrackingUnavailableError, match=r"deleted.*restore.*tracking\.experiment"):
        open_run(client, served)
    assert client.search_experiments(ViewType.DELETED_ONLY)


def test_no_password_is_stored(client: MlflowClient, served: RunRequest, tmp_path: Path) -> None:
    uri = served.uri.replace("://", "://someone:secret@")
    request = replace(
        served,
        uri=uri,
        config_yaml=f"tracking:\n  uri: {uri}\n",
        datasets=(DatasetSplit("d", "1", "https://someone:secret@host/data", "train", 1),),
    )
    started = open_run(client, request)
    finish_run(client, started.run_id, "FAILED", f"{uri} went away", {})
    run = client.get_run(started.run_id)
    stored = artifact(client, started.run_id, "config.yaml", tmp_path / "down")
    assert stored == f"tracking:\n  uri: {uri.replace('someone:secret', '***')}\n"
    assert "secret" not in f"{run.to_dictionary()}{started}"


def test_a_database_file_keeps_runs_and_files(request_at: RunRequest, tmp_path: Path) -> None:
    files = tmp_path / "mlflow-artifacts"
    request = replace(
        request_at,
        uri=f"sqlite:///{tmp_path}/new/mlflow.db",
        artifact_location=files.as_uri(),
    )
    client = connect(request.uri)
    started = open_run(client, request)
    assert open_run(client, request) == started
    stored = files / started.run_id / "artifacts" / "config.yaml"
    assert stored.read_text() == request.config_yaml


def test_files_that_cannot_be_stored_are_reported_and_stop_nothing(
    request_at: RunRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("")
    request = replace(
        request_at,
        uri=f"sqlite:///{tmp_path}/mlflow.db",
        artifact_location=(tmp_path / "taken").as_uri(),
    )
    client = connect(request.uri)
    with caplog.at_level(logging.WARNING, logger="service"):
        run_id = open_run(client, request).run_id
    (message,) = (r.message for r in caplog.records if r.name.startswith("service"))
    assert message.startswith("config.yaml was not stored in MLflow")
    assert client.get_run(run_id).data.params["P_L"] == "0.5"
