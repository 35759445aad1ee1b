"""Pictures in an object store."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_server import CREDENTIALS, Server

from service.data.folder import list_folder
from service.data.shards import write_shards


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    server = Server()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
            patch.setenv(name, value)
        yield server
        server.close()


@pytest.fixture(scope="session")
def shards(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five training and three evaluation shards. Not to be changed."""
    root = tmp_path_factory.mktemp("shards")
    train = list_folder(drawn / "train")
    write_shards(train, root / "train", pictures_per_shard=9)
    write_shards(list_folder(drawn / "val", train.classes), root / "val", pictures_per_shard=5)
    return root


@pytest.fixture(scope="session")
def address(server: Server, shards: Path) -> str:
    """These shards in a bucket, without an index. Not to be changed."""
    return server.put(shards, "pictures")
