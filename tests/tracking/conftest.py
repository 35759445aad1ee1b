"""A real MLflow server, and a real server that only fails."""

import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient
from serving import MlflowServer

from service.tracking.client import connect
from service.tracking.request import DatasetSplit, RunRequest, run_key
from service.training.checkpoint import CheckpointContent, write_checkpoint

# SQLAlchemy's words about MLflow's own tables.
_THIRD_PARTY = "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here:
            item.add_marker(pytest.mark.filterwarnings(_THIRD_PARTY))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    running = MlflowServer(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.kill()


@pytest.fixture
def client(server: MlflowServer) -> MlflowClient:
    return connect(server.uri)


@pytest.fixture
def request_at(tmp_path: Path) -> RunRequest:
    """A run in the test's own folder; `replace(request_at, uri=...)` gives it a server."""
    return RunRequest(
        uri="http://127.0.0.1:1",
        experiment=f"experiment {tmp_path.name}",
        key=run_key(tmp_path, "a-run"),
        name="a-run",
        config_yaml="model:\n  kind: resnet\n",
        params={"model": "resnet50", "P_L": 0.5, "epochs": 90},
        tags={"checkpoint_uri": str(tmp_path)},
        datasets=(DatasetSplit("drawn-train", "0123abcd", "drawn", "train", 3000),),
    )


@pytest.fixture
def served(server: MlflowServer, request_at: RunRequest) -> RunRequest:
    return replace(request_at, uri=server.uri)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of many tests: making one takes seconds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def stored(database: Path, request_at: RunRequest) -> RunRequest:
    """A run whose store is a database file and a folder of files."""
    return replace(
        request_at,
        uri=f"sqlite:///{database}/mlflow.db",
        artifact_location=(database / "files").as_uri(),
    )


def _save_checkpoint(folder: Path, value: float = 1.0) -> Path:
    content = CheckpointContent(
        model={"conv1.weight": torch.full((500,), value)},
        ema=None,
        state={"step": 8},
        config_yaml="name: a-run\n",
        metrics={"val/top1": 50.0},
        metadata={},
    )
    write_checkpoint(folder, content)
    return folder


@pytest.fixture
def save_checkpoint() -> Callable[..., Path]:
    """Writes a small checkpoint with a value in it and returns its folder."""
    return _save_checkpoint


class Failing(http.server.BaseHTTPRequestHandler):
    """Answers everything with the status of its server."""

    def do_GET(self) -> None:
        ok = self.path == "/health" and getattr(self.server, "healthy", False)
        body = b"broken on purpose"
        self.send_response(200 if ok else self.server.status)  # type: ignore[attr-defined]  # ours
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # the standard library's name

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


class FailingServer(http.server.ThreadingHTTPServer):
    """A server that fails at everything, though it may call itself healthy."""

    daemon_threads = True

    def __init__(self, status: int, healthy: bool) -> None:
        super().__init__(("127.0.0.1", 0), Failing)
        self.status = status
        self.healthy = healthy
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def failing() -> Iterator[FailingServer]:
    with FailingServer(500, healthy=True) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
