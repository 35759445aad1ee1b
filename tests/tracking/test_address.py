"""A tracking address that would lose runs is refused before they start."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.config.errors import ConfigurationError
from service.config.training import TrackingConfig
from service.tracking.address import artifact_location, reachable, redact, resolve_uri


@pytest.fixture(autouse=True)
def _no_address_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def resolve(uri: str, nodes: int = 1) -> str:
    return resolve_uri(TrackingConfig(uri=uri), Path("/data/runs"), nodes)


def test_auto_takes_the_environment_then_the_storage_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve("auto") == "sqlite:////data/runs/mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert resolve_uri(TrackingConfig(), Path("runs"), 1) == f"sqlite:///{tmp_path}/runs/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert resolve("auto", nodes=4) == "http://mlflow:5000"
    assert resolve("sqlite:////data/other.db") == "sqlite:////data/other.db"


@pytest.mark.parametrize(
    ("uri", "nodes", "words"),
    [
        ("auto", 2, r"tracking.uri=auto.*2 nodes.*mlflow server"),
        ("sqlite:////data/mlflow.db", 3, r"tracking.uri: .*3 nodes.*mlflow server"),
        ("sqlite:///mlflow.db", 1, r"not an absolute path.*four slashes"),
        ("sqlite://", 1, "not an absolute path"),
        ("sqlite:///:memory:", 1, "not an absolute path"),
        ("file:///data/mlruns", 1, "folder of files"),
        ("./mlruns", 1, "folder of files"),
        ("/data/mlruns", 1, "folder of files"),
        ("postgresql://database/mlflow", 1, "neither http, https nor sqlite"),
        ("http://", 1, "names no host"),
    ],
)
def test_an_address_that_loses_runs_is_refused(uri: str, nodes: int, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as error:
        resolve(uri, nodes)
    assert "\n" not in str(error.value)


def test_an_address_from_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here.db")
    with pytest.raises(ConfigurationError, match=r"^MLFLOW_TRACKING_URI: sqlite:///here\.db"):
        resolve("auto")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://someone:secret@database/mlflow")
    with pytest.raises(ConfigurationError, match=r"\*\*\*@database.*neither") as error:
        resolve("auto")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://someone:secret@host:5000/path", "https://***@host:5000/path"),
        ("https://secret@host", "https://***@host"),
        ("https://someone:se@cret@host/a", "https://***@host/a"),
        ("http://host/a?token=secret&x=1", "http://host/a?token=***&x=1"),
        ("GET http://u:secret@a/b failed, see https://b/c or x@y.z", None),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
    ],
)
def test_secrets_are_not_shown(text: str, shown: str | None) -> None:
    assert redact(text) == (shown or text.replace("u:secret", "***"))


def test_files_lie_beside_the_runs_unless_a_server_keeps_them(tmp_path: Path) -> None:
    assert artifact_location("http://mlflow:5000", tmp_path) is None
    location = artifact_location("sqlite:////data/mlflow.db", tmp_path / "all runs")
    assert location == f"file://{tmp_path}/all%20runs/mlflow-artifacts"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_a_server_that_does_not_answer_is_not_reachable(silent_port: int) -> None:
    assert reachable("http://127.0.0.1:1") == "Connection refused"
    assert "timed out" in str(reachable(f"http://someone:secret@127.0.0.1:{silent_port}"))
    assert reachable("http://no-such-host.invalid") is not None


def test_a_folder_that_cannot_hold_the_database_is_a_reason(tmp_path: Path) -> None:
    assert reachable(f"sqlite:///{tmp_path}/new/folder/mlflow.db") is None
    (tmp_path / "file").write_text("")
    assert reachable(f"sqlite:///{tmp_path}/file/mlflow.db") == f"{tmp_path}/file is not a folder"
