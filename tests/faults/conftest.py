"""A real MLflow server with a faulty proxy before it, and a run that knows it by the proxy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from histories import wait_for_threads
from mlflow.tracking import MlflowClient
from serving import FaultyProxy, MlflowServer, faulty_proxy

from service.tracking.client import connect
from service.tracking.request import DatasetSplit, RunRequest, run_key


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
def proxy(server: MlflowServer) -> Iterator[FaultyProxy]:
    with faulty_proxy(server.uri) as running:
        yield running
    wait_for_threads()


@pytest.fixture
def request_at(proxy: FaultyProxy, tmp_path: Path) -> RunRequest:
    return RunRequest(
        uri=proxy.uri,
        experiment=f"experiment {tmp_path.name}",
        key=run_key(tmp_path, "a-run"),
        name="a-run",
        config_yaml="model:\n  kind: resnet\n",
        params={"model": "resnet50", "P_L": "0.5"},
        tags={"where": str(tmp_path)},
        datasets=(DatasetSplit("drawn-train", "0123abcd", "drawn", "train", 3000),),
    )
