"""A store over HTTP for the tests of a module, and its keys in their environment."""

from collections.abc import Iterator

import pytest
from storing import Store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("store") / "log")
    store.start()
    yield store
    store.stop()


@pytest.fixture
def store(server: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return server
