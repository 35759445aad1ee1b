"""A model's folder in the registry of a database file."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from service.config.errors import ConfigurationError
from service.tracking.origin import origin_of
from service.tracking.registering import Registration, check_registry, register
from service.tracking.weights import local_weights


def registration(folder: Path, **changes: object) -> Registration:
    values = {
        "uri": f"sqlite:///{folder / 'mlflow.db'}",
        "storage": folder,
        "experiment": "woods",
        "name": "trees",
        "alias": "champion",
        "origin": origin_of("runs/trees/step_00000001", folder / "trees" / "step_00000001", {}),
        "description": "ema weights",
    }
    return Registration(**{**values, **changes})  # type: ignore[arg-type]  # as the test says


@pytest.mark.slow
def test_the_alias_goes_to_the_newest_version(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "checkpoint").mkdir(parents=True)
    (model / "MLmodel").write_text("flavors: {}\n")
    (model / "checkpoint" / "model.safetensors").write_bytes(b"weights")
    asked = registration(tmp_path)
    check_registry(asked)
    assert [register(model, asked).version for _ in range(2)] == [1, 2]
    assert register(model, registration(tmp_path, alias=None)).version == 3

    client = MlflowClient(asked.uri)
    champion = client.get_model_version_by_alias("trees", "champion")
    assert int(champion.version) == 2
    assert champion.run_id in (None, "")
    assert champion.description == "runs/trees/step_00000001, ema weights"
    assert client.get_experiment_by_name("woods") is not None
    folder = local_weights("models:/trees@champion", asked.uri, tmp_path / "cache")
    assert (folder / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a@b", ".hidden", "a\n", "x" * 201])
def test_names_that_no_address_could_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--register: .*use 1 to 200 letters"):
        check_registry(registration(tmp_path, name=name))


@pytest.mark.parametrize("alias", ["", "v3", "latest", "a b", "a/b", "ä"])
def test_aliases_that_mlflow_would_refuse(tmp_path: Path, alias: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--alias: .*use 1 to 200 letters"):
        check_registry(registration(tmp_path, alias=alias))
    assert not list(tmp_path.iterdir())
