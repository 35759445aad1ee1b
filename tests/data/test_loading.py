"""Streams of batches: same bits however they are made, and processes that end."""

import itertools
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from service.config.data import PicturesConfig, RandAugmentConfig
from service.data.batch import Batch
from service.data.decoding import DamagedPictureError
from service.data.folder import FolderPictures, list_folder
from service.data.loading import training_batches
from service.data.order import SampleOrder
from service.data.pictures import PictureSet
from service.data.shards import open_shards, write_shards

# Two loading processes are too many for torch's liking where the tests have one core.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")

PLAN = {
    "start": 0,
    "batch_size": 8,
    "accumulation": 1,
    "rank": 0,
    "world_size": 1,
    "loading_processes": 0,
}


@pytest.fixture(scope="module")
def pictures(drawn: Path) -> FolderPictures:
    return list_folder(drawn / "train")


@pytest.fixture(scope="module")
def augmented(small: PicturesConfig) -> PicturesConfig:
    train = small.train.model_copy(
        update={"augmentation": RandAugmentConfig(), "random_erasing": 0.5}
    )
    return small.model_copy(update={"train": train})


def take(
    pictures: PictureSet, config: PicturesConfig, count: int, repeats: int = 1, **plan: int
) -> list[Batch]:
    """Returns the first batches of a stream."""
    order = SampleOrder(len(pictures), seed=5, repeats=repeats)
    stream = training_batches(pictures, config, order, **(PLAN | plan))
    try:
        return list(itertools.islice(stream, count))
    finally:
        stream.close()


def same(first: Batch, second: Batch) -> bool:
    return (
        torch.equal(first.pictures, second.pictures)
        and torch.equal(first.labels, second.labels)
        and torch.equal(first.indices, second.indices)
    )


def children() -> set[int]:
    """Returns the running child processes, without torch's resource tracker and zombies."""
    found = set()
    for child in psutil.Process().children():
        if child.status() != psutil.STATUS_ZOMBIE:
            found.add(child.pid)
    return found


def test_a_batch_is_what_it_says(pictures: PictureSet, small: PicturesConfig) -> None:
    (batch,) = take(pictures, small, 1)
    assert batch.pictures.shape == (8, 3, 24, 24)
    assert batch.pictures.dtype == torch.uint8
    assert batch.pictures.is_contiguous(memory_format=torch.channels_last)
    assert batch.labels.dtype == batch.indices.dtype == torch.int64
    assert batch.labels.tolist() == pictures.labels[batch.indices.numpy()].tolist()
    assert len(batch) == 8
    assert batch.to(torch.device("meta")).pictures.device.type == "meta"


def test_loading_processes_change_no_bit(pictures: PictureSet, augmented: PicturesConfig) -> None:
    """Over an epoch border: 41 samples, 48 views."""
    alone = take(pictures, augmented, 6)
    helped = take(pictures, augmented, 6, loading_processes=2)
    assert all(same(first, second) for first, second in zip(alone, helped, strict=True))
    assert len(alone) == len(helped) == 6


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_the_number_of_workers_changes_no_bit(
    pictures: PictureSet, augmented: PicturesConfig, world_size: int
) -> None:
    for_all = take(pictures, augmented, 4)
    shares = [
        take(pictures, augmented, 4, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    for step, whole in enumerate(for_all):
        for rank, share in enumerate(shares):
            part = slice(rank, None, world_size)
            expected = Batch(whole.pictures[part], whole.labels[part], whole.indices[part])
            assert same(share[step], expected)


def test_micro_batches_make_up_the_batch(pictures: PictureSet, augmented: PicturesConfig) -> None:
    whole = take(pictures, augmented, 2)
    parts = take(pictures, augmented, 6, accumulation=3)
    assert [len(part) for part in parts] == [3, 3, 2, 3, 3, 2]
    for step in range(2):
        for part in range(3):
            assert torch.equal(parts[3 * step + part].pictures, whole[step].pictures[part::3])


def test_a_resumed_stream_goes_on_with_the_same_bits(
    pictures: PictureSet, augmented: PicturesConfig
) -> None:
    through = take(pictures, augmented, 8)
    resumed = take(pictures, augmented, 3, start=5 * 8)
    assert all(same(first, second) for first, second in zip(through[5:], resumed, strict=True))


def test_an_epoch_shows_each_picture_once_and_the_next_shows_it_otherwise(
    pictures: PictureSet, small: PicturesConfig
) -> None:
    batches = take(pictures, small, 82, batch_size=1)
    first, second = batches[:41], batches[41:]
    for epoch in (first, second):
        assert sorted(int(batch.indices) for batch in epoch) == list(range(41))
    again = {int(batch.indices): batch.pictures for batch in second}
    changed = [not torch.equal(batch.pictures, again[int(batch.indices)]) for batch in first]
    assert np.mean(changed) > 0.9


def test_repeated_augmentation_shows_a_picture_in_two_views(
    pictures: PictureSet, augmented: PicturesConfig
) -> None:
    (batch,) = take(pictures, augmented, 1, repeats=2)
    indices = batch.indices.view(4, 2)
    assert torch.equal(indices[:, 0], indices[:, 1])
    firsts, seconds = batch.pictures[0::2], batch.pictures[1::2]
    assert any(not torch.equal(*pair) for pair in zip(firsts, seconds, strict=True))


def test_folder_and_shards_give_the_same_batches(
    pictures: PictureSet, augmented: PicturesConfig, tmp_path: Path
) -> None:
    write_shards(pictures, tmp_path / "shards", pictures_per_shard=10)
    shards = open_shards(tmp_path / "shards")
    for processes in (0, 2):
        for first, second in zip(
            take(pictures, augmented, 3),
            take(shards, augmented, 3, loading_processes=processes),
            strict=True,
        ):
            assert same(first, second)


@pytest.mark.parametrize("processes", [0, 2])
def test_the_callers_random_state_is_left_alone(
    pictures: PictureSet, small: PicturesConfig, processes: int
) -> None:
    torch.manual_seed(3)
    expected = torch.get_rng_state()
    take(pictures, small, 2, loading_processes=processes)
    assert torch.equal(torch.get_rng_state(), expected)


def test_the_callers_random_state_changes_nothing(
    pictures: PictureSet, augmented: PicturesConfig
) -> None:
    torch.manual_seed(1)
    first = take(pictures, augmented, 1)
    torch.manual_seed(2)
    assert same(first[0], take(pictures, augmented, 1)[0])


def stream(pictures: PictureSet, config: PicturesConfig) -> Generator[Batch, None, None]:
    order = SampleOrder(len(pictures), seed=5)
    return training_batches(pictures, config, order, **(PLAN | {"loading_processes": 2}))


def test_loading_processes_end_when_the_stream_is_closed(
    pictures: PictureSet, small: PicturesConfig
) -> None:
    before = children()
    batches = stream(pictures, small)
    next(batches)
    assert len(children() - before) == 2
    batches.close()
    assert children() <= before


def test_loading_processes_end_when_the_stream_is_dropped(
    pictures: PictureSet, small: PicturesConfig
) -> None:
    before = children()
    batches = stream(pictures, small)
    assert len(children() - before) == 2
    del batches
    assert children() <= before
    batches = stream(pictures, small)
    next(batches)
    del batches
    assert children() <= before


def test_epochs_do_not_restart_loading_processes(
    pictures: PictureSet, small: PicturesConfig
) -> None:
    batches = stream(pictures, small)
    next(batches)
    started = children()
    for _ in range(12):
        next(batches)
    assert children() == started
    batches.close()


def test_a_program_that_forgets_its_stream_ends_in_silence(drawn: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from service.config.data import PicturesConfig\n"
        "from service.data.folder import list_folder\n"
        "from service.data.loading import training_batches\n"
        "from service.data.order import SampleOrder\n"
        "pictures = list_folder(Path(sys.argv[1]))\n"
        "stream = training_batches(pictures, PicturesConfig(), SampleOrder(len(pictures), 0),\n"
        "    start=0, batch_size=4, accumulation=1, rank=0, world_size=1, loading_processes=2)\n"
        "print(len(next(stream)))\n"
    )
    result = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore:This DataLoader",
            "-c",
            program,
            str(drawn / "train"),
        ],
        capture_output=True,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"4\n", b"")


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_a_damaged_picture_is_named_in_one_line(
    pictures: PictureSet, small: PicturesConfig, tmp_path: Path, processes: int, damage: str
) -> None:
    for index in range(8):
        path = tmp_path / pictures.name(index)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pictures.read(index))
    broken = list_folder(tmp_path)
    path = tmp_path / broken.name(3)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:300])
    else:
        path.unlink()
    before = children()
    state = torch.get_rng_state()
    with pytest.raises(DamagedPictureError) as caught:
        take(broken, small, 1, loading_processes=processes)
    reason = {"truncated": "truncated", "gone": "No such file"}[damage]
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert torch.equal(torch.get_rng_state(), state)
    assert children() <= before


def test_an_order_of_another_size_is_refused(pictures: PictureSet, small: PicturesConfig) -> None:
    with pytest.raises(ValueError, match="the order has 7 samples, the set 41"):
        training_batches(pictures, small, SampleOrder(7, 0), **PLAN)
