"""Training pictures from an object store: the same batches, through outages and damage."""

import http.client
import io
import itertools
import pickle
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from object_server import Server

from service.config.data import PicturesConfig, ShardsDataConfig
from service.config.errors import ConfigurationError
from service.data.batch import Batch
from service.data.decoding import DamagedPictureError
from service.data.loading import evaluation_batches, training_batches
from service.data.order import SampleOrder
from service.data.patience import StorageAwayError
from service.data.pictures import PictureSet, digest
from service.data.shards import open_shards
from service.data.splits import EncodedSplits, open_splits
from service.data.streaming import opening, signed
from service.storage.object_store import ObjectStore

# Two loading processes are too many for torch's liking where the tests have one core.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")


def opened(address: str, cache: Path, **fields: object) -> EncodedSplits:
    splits = open_splits(ShardsDataConfig(root=address, **fields), cache)
    assert isinstance(splits, EncodedSplits)
    return splits


def batches(
    pictures: PictureSet, config: PicturesConfig, count: int, processes: int = 0, start: int = 0
) -> list[Batch]:
    stream = training_batches(
        pictures,
        config,
        SampleOrder(len(pictures), seed=5),
        start=start,
        batch_size=8,
        accumulation=1,
        rank=0,
        world_size=1,
        loading_processes=processes,
    )
    try:
        return list(itertools.islice(stream, count))
    finally:
        stream.close()


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.pictures, other.pictures)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.indices, other.indices)


@pytest.fixture(scope="module")
def splits(address: str, tmp_path_factory: pytest.TempPathFactory) -> EncodedSplits:
    return opened(address, tmp_path_factory.mktemp("node"))


@pytest.mark.parametrize("processes", [0, 2])
def test_batches_are_those_of_local_shards(
    splits: EncodedSplits, shards: Path, small: PicturesConfig, processes: int
) -> None:
    """Over an epoch border, and from a position in the middle on."""
    local = open_shards(shards / "train")
    assert digest(splits.train) == digest(local)
    assert splits.train.source == "s3://pictures/set/train"
    assert_same(batches(splits.train, small, 6, processes), batches(local, small, 6))
    one = min(processes, 1)
    assert_same(batches(splits.train, small, 2, one, start=29), batches(local, small, 2, start=29))


@pytest.mark.parametrize("short", [True, False])
def test_both_ways_of_reading_give_the_same(
    splits: EncodedSplits, shards: Path, monkeypatch: pytest.MonkeyPatch, short: bool
) -> None:
    """By signed addresses, without the driver; and by the driver, where there is a proxy."""
    if short:
        monkeypatch.setattr(ObjectStore, "read_ranges", None)
    else:
        monkeypatch.setattr(signed, "getproxies", lambda: {"http": "http://127.0.0.1:9"})
        monkeypatch.setattr(signed, "proxy_bypass", lambda host: False)
        monkeypatch.setattr(http.client, "HTTPConnection", None)
    local = open_shards(shards / "train")
    order = [40, 0, 17, 0, 18]
    pictures = pickle.loads(pickle.dumps(splits.train))  # noqa: S301  # our own bytes
    assert pictures.read_together(order) == [local.read(index) for index in order]


def test_every_evaluation_picture_comes_once(splits: EncodedSplits, small: PicturesConfig) -> None:
    found = evaluation_batches(splits.evaluation, small, rank=0, world_size=1, loading_processes=0)
    assert torch.cat([batch.indices for batch in found]).tolist() == list(range(13))


def test_an_outage_is_waited_for(
    server: Server,
    address: str,
    shards: Path,
    small: PicturesConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "PATIENCE", (0.2,) * 30)
    pictures = opened(address, tmp_path).train
    server.go_away()
    back = threading.Timer(0.5, server.come_back)
    back.start()
    found = batches(pictures, small, 2)
    back.join()
    assert_same(found, batches(open_shards(shards / "train"), small, 2))


def test_no_picture_is_skipped_because_the_store_is_away(
    server: Server,
    address: str,
    small: PicturesConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "PATIENCE", ())
    pictures = opened(address, tmp_path).train
    skips = small.model_copy(update={"on_error": "skip"})
    server.go_away()
    try:
        with pytest.raises(StorageAwayError, match=r"^s3://pictures/set/train/\d+\.tar: "):
            batches(pictures, skips, 1, processes=1)
    finally:
        server.come_back()


def test_a_shard_that_became_shorter_is_damage(
    server: Server, shards: Path, small: PicturesConfig, tmp_path: Path
) -> None:
    address = server.put(shards, "shorter")
    pictures = opened(address, tmp_path).train
    content = (shards / "train/000001.tar").read_bytes()
    server.write(address, "train/000001.tar", content[:3000])
    with pytest.raises(DamagedPictureError, match=r"train/000001\.tar/000000\d\d\.jpg cannot be"):
        batches(pictures, small, 6)
    found = batches(pictures, small.model_copy(update={"on_error": "skip"}), 5)
    lacking = {failure.index for batch in found for failure in batch.failures}
    # The first pictures of the shard are still whole; the others were asked for with good ones.
    assert {17} <= lacking <= set(range(9, 18))
    assert sum(map(len, found)) == 40 - len(lacking)


def test_the_index_of_the_files_is_taken_over(
    server: Server, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = open_shards(shards / "train")  # which keeps an index beside the shards
    open_shards(shards / "val")
    address = server.put(shards, "indexed")
    stored = (shards / "train/index.npz").read_bytes()
    monkeypatch.setattr("service.data.streaming.index.read_shard", None)
    assert digest(opened(address, tmp_path).train) == digest(local)
    assert ObjectStore(address).read("train/index.npz") == stored


def test_an_index_of_other_shards_of_the_same_size_is_not(
    server: Server, shards: Path, tmp_path: Path
) -> None:
    local = open_shards(shards / "train")
    address = server.put(shards, "reversed")
    reverse = _reversed(shards / "train/000002.tar")
    server.write(address, "train/000002.tar", reverse)
    assert len(reverse) == (shards / "train/000002.tar").stat().st_size
    found = opened(address, tmp_path / "node").train
    assert [found.read(18 + place) for place in range(9)] == [
        local.read(26 - place) for place in range(9)
    ]
    # The new one is in the store, and another node takes it.
    assert digest(opened(address, tmp_path / "other").train) == digest(found)


def _reversed(shard: Path) -> bytes:
    """Returns a shard with its samples in reverse order."""
    buffer = io.BytesIO()
    with tarfile.open(shard) as archive, tarfile.open(fileobj=buffer, mode="w") as other:
        for member in reversed(archive.getmembers()):
            other.addfile(member, archive.extractfile(member))
    return buffer.getvalue()


def test_shards_that_change_are_indexed_again(server: Server, shards: Path, tmp_path: Path) -> None:
    address = server.put(shards, "changing")
    before = opened(address, tmp_path).train
    server.delete(address, "train/000004.tar")
    after = opened(address, tmp_path).train
    assert (len(before), len(after)) == (41, 36)


def test_processes_of_a_node_open_one_set(address: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: opened(address, tmp_path), range(3)))
    assert len({digest(splits.train) for splits in found}) == 1


@pytest.mark.parametrize(
    ("root", "complaint"),
    [
        ("s3://no-such-bucket/set", r"no \*\.tar objects in s3://no-such-bucket/set/train; exp"),
        ("s3://bucket/../other", "s3://.* is no plain address"),
        ("s4://bucket/set", "s4://bucket/set cannot be used: Protocol not known"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_in_one_line(
    server: Server, tmp_path: Path, root: str, complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^data\.root: {complaint}") as caught:
        opened(root, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_shard_is_named(server: Server, shards: Path, tmp_path: Path) -> None:
    address = server.put(shards, "damaged")
    content = (shards / "train/000003.tar").read_bytes()
    server.write(address, "train/000003.tar", content[:5000])
    with pytest.raises(ConfigurationError, match=r"^s3://damaged/.*/000003\.tar: the shard is dam"):
        opened(address, tmp_path)


def test_a_folder_needs_no_cache(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^data\.cache_gib: .* is a folder"):
        opened(str(shards), tmp_path, cache_gib=1)
