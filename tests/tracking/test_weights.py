"""Weights are found by the names that MLflow's pages show, and what is wrong is said in a line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from service.config.errors import ConfigurationError
from service.tracking.client import connect
from service.tracking.delivery import Delivery
from service.tracking.request import RunRequest
from service.tracking.weights import local_weights
from service.training.checkpoint import read_checkpoint

Save = Callable[..., Path]
Open = Callable[..., str]


@pytest.fixture
def store(stored: RunRequest) -> MlflowClient:
    return connect(stored.uri)


@pytest.fixture
def open_run(stored: RunRequest, tmp_path: Path) -> Open:
    """Opens a run with tags and returns MLflow's name for it."""

    def opened(**tags: str) -> str:
        return Delivery(tmp_path, replace(stored, tags=tags)).open().run_id

    return opened


@pytest.fixture
def find(stored: RunRequest, tmp_path: Path) -> Callable[[str], Path]:
    return lambda address: local_weights(address, stored.uri, tmp_path / "cache")


Find = Callable[[str], Path]


def value_of(folder: Path) -> float:
    """A value of the checkpoint, all of whose files are as its manifest says."""
    return float(read_checkpoint(folder).model["conv1.weight"][0])


@pytest.mark.parametrize("path", ["/nowhere/step_00000008", "weights/resnet50.pth", "C:weights"])
def test_a_path_is_left_alone_and_asks_nobody(path: str, tmp_path: Path) -> None:
    assert local_weights(path, "http://127.0.0.1:1", tmp_path / "cache") == Path(path)


def test_a_run_means_its_best_checkpoint_where_it_lies(
    tmp_path: Path, save_checkpoint: Save, open_run: Open, find: Find
) -> None:
    folder = save_checkpoint(tmp_path / "runs" / "a-run" / "step_00000008")
    assert find(f"runs:/{open_run(checkpoint=str(folder))}") == folder
    assert not (tmp_path / "cache").exists()


def test_a_run_whose_folder_is_elsewhere_means_the_last_checkpoint_of_its_artifacts(
    tmp_path: Path, save_checkpoint: Save, store: MlflowClient, open_run: Open, find: Find
) -> None:
    run_id = open_run(checkpoint=str(tmp_path / "gone"))
    for step in (16, 8):
        folder = save_checkpoint(tmp_path / f"step_{step:08d}", float(step))
        store.log_artifacts(run_id, str(folder), f"checkpoints/{folder.name}")
    store.log_text(run_id, "no checkpoint", "evaluation/step_00000120/table.csv")
    found = find(f"runs:/{run_id}")
    assert found.name == "step_00000016"
    assert value_of(found) == 16.0
    assert not list((tmp_path / "cache").rglob("table.csv"))
    # What is there is used again.
    written = (found / "model.safetensors").stat().st_ino
    assert find(f"runs:/{run_id}/") == found
    assert (found / "model.safetensors").stat().st_ino == written
    assert value_of(find(f"runs:/{run_id}/checkpoints/step_00000008")) == 8.0


def test_a_registered_model_means_the_folder_it_was_made_from(
    tmp_path: Path, save_checkpoint: Save, store: MlflowClient, open_run: Open, find: Find
) -> None:
    store.create_registered_model("shakedrop")
    first = save_checkpoint(tmp_path / "step_00000008", 8.0)
    second = save_checkpoint(tmp_path / "a folder" / "step_00000016", 16.0)
    run_id = open_run()
    store.log_artifacts(run_id, str(save_checkpoint(tmp_path / "third", 24.0)), "model")
    artifacts = store.get_run(run_id).info.artifact_uri
    sources = [str(first), second.as_uri(), f"runs:/{run_id}/model", f"{artifacts}/model"]
    for source in sources:
        store.create_model_version("shakedrop", source)
    store.set_registered_model_alias("shakedrop", "best", "2")
    assert find("models:/shakedrop/1") == first
    assert find("models:/shakedrop@best") == second
    assert value_of(find("models:/shakedrop/3")) == 24.0
    assert value_of(find("models:/shakedrop/4")) == 24.0


def test_a_server_hands_out_checkpoints_that_this_machine_lacks(
    tmp_path: Path, save_checkpoint: Save, client: MlflowClient, served: RunRequest
) -> None:
    run_id = Delivery(tmp_path, served).open().run_id
    client.log_artifacts(run_id, str(save_checkpoint(tmp_path / "x", 3.0)), "step_00000003")
    cache = tmp_path / "cache"
    assert value_of(local_weights(f"runs:/{run_id}", served.uri, cache)) == 3.0
    name = f"model {tmp_path.name}"
    client.create_registered_model(name)
    source = f"{client.get_run(run_id).info.artifact_uri}/step_00000003"
    client.create_model_version(name, source, run_id=run_id)
    assert value_of(local_weights(f"models:/{name}/1", served.uri, cache)) == 3.0


def test_a_storage_is_copied_from(tmp_path: Path, save_checkpoint: Save, find: Find) -> None:
    folder = save_checkpoint(tmp_path / "step_00000008", 8.0)
    found = find(folder.as_uri())
    assert found.is_relative_to(tmp_path / "cache")
    assert value_of(found) == 8.0


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (f"runs:/{'0' * 32}", "knows no such run; give the id"),
        ("runs:/no-such-run", "knows no such run; give the id"),
        ("runs:/", "write runs:/<run id>"),
        ("runs:/{empty}", "nor its artifacts name one; give a checkpoint's folder"),
        ("runs:/{empty}/evaluation", "the run's artifacts hold no checkpoint below evaluation"),
        ("runs:/{gone}", r"its checkpoint \S+/gone is not on this machine; copy it here"),
        ("models:/unknown/1", "knows no such model or version"),
        ("models:/unknown@best", "knows no such model or version"),
        ("models:/unknown", "write models:/<name>/<version> or models:/<name>@<alias>"),
        ("models:/{model}/1", r"its checkpoint \S+/gone is not on this machine"),
        ("models:/{model}/2", "hold no checkpoint; register a checkpoint's folder"),
        ("models:/{model}/3", r"its source s3://\*\*\*@bucket/x\?nonsense=1: cannot be read"),
        ("models:/{model}/4", "knows no such model or version"),
        ("file://{folder}/nothing", "there is nothing at this address"),
        ("https://example.com/resnet50.pth", "unknown kind of address; give a path, runs:/"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    *,
    tmp_path: Path,
    store: MlflowClient,
    stored: RunRequest,
    open_run: Open,
    find: Find,
    address: str,
    message: str,
) -> None:
    values: dict[str, object] = {"folder": tmp_path}
    if "{gone}" in address:
        values["gone"] = open_run(checkpoint=str(tmp_path / "gone"))
    if "{empty}" in address or "{model}" in address:
        values["empty"] = run_id = open_run()
        store.log_text(run_id, "no checkpoint", "evaluation/table.csv")
    if "{model}" in address:
        values["model"] = name = f"model {tmp_path.name}"
        store.create_registered_model(name)
        store.create_model_version(name, str(tmp_path / "gone"))
        store.create_model_version(name, f"runs:/{run_id}/evaluation")
        store.create_model_version(name, "s3://someone:secret@bucket/x?nonsense=1")
    given = address.format(**values)
    with pytest.raises(ConfigurationError, match=message) as caught:
        find(given)
    assert str(caught.value).startswith(f"model.weights: {given}: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("address", ["runs:/0123", "models:/shakedrop/1"])
def test_a_server_that_is_away_is_said_to_be(tmp_path: Path, address: str) -> None:
    uri = "http://someone:secret@127.0.0.1:1"
    with pytest.raises(ConfigurationError, match=r"cannot be used now \(.*refused\)") as caught:
        local_weights(address, uri, tmp_path / "cache")
    assert "secret" not in str(caught.value)
    assert "checkpoint's folder" in str(caught.value)


def test_no_secret_of_an_address_is_repeated(tmp_path: Path, find: Find) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find("s3://someone:secret@bucket/x?nonsense=1")
    assert "secret" not in str(caught.value)
