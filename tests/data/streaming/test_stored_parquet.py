"""CIFAR's Parquet files in an object store."""

from pathlib import Path

import pytest
from object_server import Server
from small_pictures import write_parquet

from service.config.errors import ConfigurationError
from service.config.small_data import CIFAR10DataConfig, ParquetDataConfig
from service.data.pictures import digest
from service.data.splits import open_splits
from service.storage.object_store import ObjectStore


@pytest.fixture
def local(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    root.mkdir()
    for name, count in (("train", 24), ("test", 8)):
        write_parquet(root, name, count)
    return root


def test_the_pictures_are_those_of_local_files_and_are_copied_once(
    server: Server, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.put(local, "parquet")
    here = open_splits(ParquetDataConfig(root=str(local)), tmp_path / "here")
    config = ParquetDataConfig(root=address, cache_folder=str(tmp_path / "node"))
    found = open_splits(config, tmp_path / "unused")
    assert digest(found.train) == digest(here.train)
    assert digest(found.evaluation) == digest(here.evaluation)
    assert found.train.source == "s3://parquet/set/train-*.parquet"
    assert not (tmp_path / "unused").exists()
    monkeypatch.setattr(ObjectStore, "download", None)
    assert digest(open_splits(config, tmp_path / "unused").train) == digest(here.train)


def test_changed_files_are_copied_again(server: Server, local: Path, tmp_path: Path) -> None:
    address = server.put(local, "changing-parquet")
    config = ParquetDataConfig(root=address)
    before = open_splits(config, tmp_path / "node")
    write_parquet(local, "train", 16)
    name = "-00000-of-00001.parquet"
    server.write(address, f"train{name}", (local / f"train{name}").read_bytes())
    assert (len(before.train), len(open_splits(config, tmp_path / "node").train)) == (24, 16)
    server.write(address, f"test{name}", b"no Parquet")
    with pytest.raises(
        ConfigurationError, match=r"test-00000-of-00001\.parquet: cannot be read as"
    ):
        open_splits(config, tmp_path / "node")
    server.delete(address, f"test{name}")
    with pytest.raises(
        ConfigurationError, match=r"no test-\*\.parquet below s3://changing-parquet/"
    ):
        open_splits(config, tmp_path / "node")


def test_other_sets_are_read_from_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"data\.kind=cifar10 is read from a folder"):
        open_splits(CIFAR10DataConfig(root="s3://bucket/set"), tmp_path)
