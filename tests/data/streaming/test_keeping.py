"""Shards that are copied to a node: the bound, whole files only, one process for all."""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from object_server import Server

from service.config.data import PicturesConfig, ShardsDataConfig
from service.data.loading import training_batches
from service.data.order import SampleOrder
from service.data.shards import open_shards
from service.data.splits import open_splits
from service.data.streaming import copying
from service.data.streaming.copying import Plan, copy_shards
from service.data.streaming.kept_shards import KeptShards
from service.data.streaming.locks import if_nobody_else
from service.data.streaming.pictures import StreamedPictures


@pytest.fixture(scope="module")
def streamed(address: str, tmp_path_factory: pytest.TempPathFactory) -> StreamedPictures:
    opened = open_splits(ShardsDataConfig(root=address), tmp_path_factory.mktemp("node")).train
    assert isinstance(opened, StreamedPictures)
    return opened


@pytest.fixture
def pictures(streamed: StreamedPictures, tmp_path: Path) -> StreamedPictures:
    """Training pictures, of which no shard is on this node."""
    folder = tmp_path / "shards"
    kept = KeptShards.of(folder, "train", streamed.index)
    return replace(streamed, kept=kept, plan=replace(streamed.plan, folder=folder))


def bounded(pictures: StreamedPictures, shards: int) -> Plan:
    """Returns a plan that has room for the first so many shards."""
    return replace(pictures.plan, most=sum(one.size for one in pictures.plan.shards[:shards]))


def files(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.exists() else set()


def test_the_bound_holds_and_kept_shards_need_no_store(
    server: Server, pictures: StreamedPictures, shards: Path
) -> None:
    plan = bounded(pictures, 2)
    copy_shards(replace(plan, most=plan.most + 1000))
    assert files(plan.folder) == {shard.file for shard in plan.shards[:2]}
    assert [shard.name for shard in plan.shards[:2]] == ["train/000000.tar", "train/000001.tar"]
    server.go_away()
    try:
        local = open_shards(shards / "train")
        assert pictures.read_together(range(18)) == [local.read(index) for index in range(18)]
    finally:
        server.come_back()
    assert pictures.read_together([17, 18]) == [local.read(17), local.read(18)]


def test_what_is_damaged_changed_or_unfinished_is_replaced(
    pictures: StreamedPictures, shards: Path
) -> None:
    plan = bounded(pictures, 2)
    copy_shards(plan)
    first, second = (plan.folder / shard.file for shard in plan.shards[:2])
    whole = first.read_bytes()
    first.write_bytes(whole[:1000])
    (plan.folder / f".123-abc-{second.name}").write_bytes(b"left by a killed process")
    (plan.folder / "0123.tar").write_bytes(b"a shard that has changed")
    local = open_shards(shards / "train")
    assert pictures.read(8) == local.read(8)  # which the damaged file lacks
    copy_shards(plan)
    assert files(plan.folder) == {first.name, second.name}
    assert first.read_bytes() == whole


def test_a_training_has_shards_copied_while_it_runs(
    pictures: StreamedPictures, small: PicturesConfig
) -> None:
    plan = bounded(pictures, 3)
    stream = training_batches(
        replace(pictures, plan=plan),
        small,
        SampleOrder(len(pictures), seed=5),
        start=0,
        batch_size=8,
        accumulation=1,
        rank=0,
        world_size=1,
        loading_processes=0,
    )
    before = set(psutil.Process().children())
    end = time.monotonic() + 60
    while not {shard.file for shard in plan.shards[:3]} <= files(plan.folder):
        assert time.monotonic() < end
        next(stream)
    stream.close()
    assert set(psutil.Process().children()) == before
    assert len(files(plan.folder)) == 3


def test_one_process_copies_for_all(tmp_path: Path) -> None:
    lock = tmp_path / "node" / "lock"
    hold = (
        "import sys; from pathlib import Path; from service.data.streaming.locks import *\n"
        "with if_nobody_else(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with if_nobody_else(lock) as descriptor:
            assert descriptor is None
        holder.kill()
    with if_nobody_else(lock) as descriptor:
        assert descriptor is not None


def test_a_full_disk_is_told_once_and_leaves_nothing(pictures: StreamedPictures) -> None:
    """Files of this process cannot grow beyond one shard, as on a disk that is full."""
    plan = replace(pictures.plan, most=10**9)
    most = plan.shards[0].size
    with subprocess.Popen(
        [sys.executable, "-m", copying.__name__],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most - 1, most - 1)),
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        print(plan.to_json(), file=process.stdin, flush=True)
        told = process.stderr.read()
    assert told.count("\n") == 1
    assert told.startswith("warning: no more shards are kept on this node, the others are streamed")
    assert "File too large" in told
    assert files(plan.folder) == set()


def test_too_little_room_for_others_is_a_full_disk(
    pictures: StreamedPictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_LEFT_FREE", 2**60)
    with pytest.raises(OSError, match="GiB would be left free"):
        copy_shards(replace(pictures.plan, most=10**9))


def test_a_plan_survives_its_way(pictures: StreamedPictures) -> None:
    line = pictures.plan.to_json()
    assert Plan.from_json(line) == pictures.plan
    assert "\n" not in line
    assert json.loads(line)["address"] == pictures.plan.address
