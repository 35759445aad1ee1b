"""Pictures that cannot be used: left out, counted and bounded, and nothing else changes."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from service.config.data import FolderDataConfig, PicturesConfig
from service.config.small_data import CIFAR10DataConfig
from service.data.augmentation import TrainingView
from service.data.batch import Batch, Request, Views, joined, parts_of
from service.data.decoding import DamagedPictureError
from service.data.folder import FolderPictures, list_folder
from service.data.loading import evaluation_batches, training_batches
from service.data.order import SampleOrder
from service.data.pictures import PictureSet
from service.data.shards import open_shards, write_shards
from service.data.skipping import Failure, SkippedPictures, most_skipped

# Two loading processes are too many for torch's liking where the tests have one core.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")

DAMAGED = (3, 17, 18)


@pytest.fixture(scope="module")
def pictures(drawn: Path) -> FolderPictures:
    return list_folder(drawn / "train")


@pytest.fixture
def broken(drawn: Path, tmp_path: Path) -> FolderPictures:
    """The same pictures; one is cut off, one is empty, and one is gone."""
    shutil.copytree(drawn / "train", tmp_path / "train")
    found = list_folder(tmp_path / "train")
    cut, empty, gone = (tmp_path / "train" / found.name(index) for index in DAMAGED)
    cut.write_bytes(cut.read_bytes()[:300])
    empty.write_bytes(b"")
    gone.unlink()
    return found


@pytest.fixture(scope="module")
def skipping(small: PicturesConfig) -> PicturesConfig:
    return small.model_copy(update={"on_error": "skip"})


def take(pictures: PictureSet, config: PicturesConfig, count: int, **plan: int) -> list[Batch]:
    """Returns the first batches of a stream."""
    usual = {"start": 0, "batch_size": 8, "accumulation": 1, "rank": 0, "world_size": 1}
    stream = training_batches(
        pictures,
        config,
        SampleOrder(len(pictures), seed=5),
        **({"loading_processes": 0} | usual | plan),
    )
    try:
        return list(itertools.islice(stream, count))
    finally:
        stream.close()


@pytest.mark.parametrize("processes", [0, 2])
def test_a_skipped_picture_is_missing_and_no_bit_of_any_other_changes(
    pictures: PictureSet, broken: PictureSet, skipping: PicturesConfig, processes: int
) -> None:
    """Over an epoch and a half: 41 samples, 64 views."""
    whole = take(pictures, skipping, 8)
    found = take(broken, skipping, 8, loading_processes=processes)
    for batch, expected in zip(found, whole, strict=True):
        kept = [index not in DAMAGED for index in expected.indices.tolist()]
        assert len(batch) == sum(kept)
        assert torch.equal(batch.pictures, expected.pictures[kept])
        assert torch.equal(batch.labels, expected.labels[kept])
        assert torch.equal(batch.indices, expected.indices[kept])
        missing = [index for index in expected.indices.tolist() if index in DAMAGED]
        assert [failure.index for failure in batch.failures] == missing
    assert sum(len(batch.failures) for batch in found) > len(DAMAGED)


def test_each_failure_is_one_line_with_name_and_reason(
    broken: PictureSet, skipping: PicturesConfig
) -> None:
    failures = {
        one.index: one.text for batch in take(broken, skipping, 6) for one in batch.failures
    }
    reasons = ("truncated", "the file is empty", "No such file")
    for index, reason in zip(DAMAGED, reasons, strict=True):
        assert failures[index].startswith(f"{broken.source}/{broken.name(index)} cannot be used: ")
        assert reason in failures[index]
        assert "\n" not in failures[index]


def request(*indices: int) -> Request:
    return Request(np.array(indices), np.arange(7, 7 + len(indices), dtype=np.uint64))


def test_where_all_of_a_batch_is_damaged_the_next_picture_stands_in_and_counts_for_nothing(
    pictures: PictureSet, broken: PictureSet, skipping: PicturesConfig
) -> None:
    view = TrainingView(skipping)
    batch = Views(broken, view, skips=True)[request(17, 18)]
    (next_one,) = Views(pictures, view)[request(19)].pictures
    assert len(batch) == 0
    assert torch.equal(batch.pictures, next_one[None])
    assert batch.labels.tolist() == [broken.labels[17]]
    assert [failure.index for failure in batch.failures] == [17, 18]
    assert len(batch.to(torch.device("meta"))) == 0


def test_where_nothing_can_be_used_a_black_picture_stands_in(
    broken: FolderPictures, skipping: PicturesConfig
) -> None:
    shutil.rmtree(broken.folder)
    for batch in take(broken, skipping, 2):
        assert len(batch) == 0
        assert batch.pictures.shape == (1, 3, 24, 24)
        assert not batch.pictures.any()
        assert len(batch.failures) == 8


@pytest.mark.parametrize("world_size", [1, 3])
def test_evaluation_shows_each_usable_picture_once(
    drawn: Path, tmp_path: Path, skipping: PicturesConfig, world_size: int
) -> None:
    shutil.copytree(drawn / "val", tmp_path / "val")
    pictures = list_folder(tmp_path / "val")
    damaged = (0, 1, 2, 3, 9)  # a whole batch of one worker, and one more
    for index in damaged:
        (tmp_path / "val" / pictures.name(index)).write_bytes(b"")
    seen, missing = [], []
    for rank in range(world_size):
        plan = {"rank": rank, "world_size": world_size, "loading_processes": 0}
        for batch in evaluation_batches(pictures, skipping, **plan):
            seen += batch.indices.tolist() if len(batch) else []
            missing += [failure.index for failure in batch.failures]
    assert missing == list(damaged)
    assert seen == [index for index in range(13) if index not in damaged]


def test_by_default_the_first_damaged_picture_ends_the_run(
    broken: PictureSet, small: PicturesConfig
) -> None:
    with pytest.raises(DamagedPictureError) as caught:
        take(broken, small, 8)
    assert any(broken.name(index) in str(caught.value) for index in DAMAGED)
    assert str(caught.value).endswith("; set data.on_error=skip to leave such pictures out")


def test_the_shard_of_a_damaged_picture_is_named(
    pictures: PictureSet, small: PicturesConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "shards"
    write_shards(pictures, folder, pictures_per_shard=10)
    shards = open_shards(folder)
    _, first, size, _ = shards.index.pictures[13].tolist()
    with (folder / "000001.tar").open("r+b") as shard:
        shard.seek(first)
        shard.write(bytes(size))
    with pytest.raises(DamagedPictureError, match=r"shards/000001\.tar/00000013\.jpg cannot be us"):
        take(shards, small, 6)


def noted(skipped: SkippedPictures, *batches: Batch) -> None:
    assert list(skipped.noted(batch for batch in batches)) == list(batches)


def lacking(*indices: int) -> Batch:
    nothing = torch.zeros(0)
    failures = tuple(Failure(index, f"picture {index} cannot be used") for index in indices)
    return Batch(nothing, nothing, nothing, failures=failures)


def test_each_picture_is_told_once_and_counted_once() -> None:
    warnings: list[str] = []
    skipped = SkippedPictures("training", 100, 0.5, warnings.append)
    noted(skipped, lacking(4), lacking(), lacking(4, 2))
    assert warnings == []
    assert skipped.counts() == {"skipped_pictures": 2.0}
    assert warnings == ["picture 4 cannot be used; skipped", "picture 2 cannot be used; skipped"]
    noted(skipped, lacking(2), lacking(9))
    assert skipped.agree() == 2
    assert skipped.agree() == 0
    assert skipped.counts() == {"skipped_pictures": 3.0}
    assert len(warnings) == 3


def test_a_batch_counts_when_it_is_drawn_and_not_before() -> None:
    skipped = SkippedPictures("training", 100, 0.5, lambda text: None)
    stream = skipped.noted(lacking(index) for index in itertools.count())
    list(itertools.islice(stream, 3))
    assert skipped.counts() == {"skipped_pictures": 3.0}


def test_what_was_counted_before_a_restart_is_neither_lost_nor_told_again() -> None:
    before = SkippedPictures("training", 100, 0.5, lambda text: None)
    noted(before, lacking(7, 1))
    before.agree()
    warnings: list[str] = []
    after = SkippedPictures("training", 100, 0.5, warnings.append)
    after.load_state_dict(before.state_dict())
    noted(after, lacking(1, 8))
    assert after.counts() == {"skipped_pictures": 3.0}
    assert warnings == ["picture 8 cannot be used; skipped"]
    after.load_state_dict({})
    assert after.counts() == {"skipped_pictures": 0.0}


@pytest.mark.parametrize(("most", "allowed"), [(0.03, 3), (0.0, 0), (1.0, 99)])
def test_the_bound_is_the_largest_number_that_may_be_skipped(most: float, allowed: int) -> None:
    skipped = SkippedPictures("training", 100, most, lambda text: None)
    noted(skipped, lacking(*range(allowed)))
    assert skipped.agree() == allowed
    noted(skipped, lacking(99))
    with pytest.raises(DamagedPictureError, match=r"100 training pictures .*picture 99 cannot"):
        skipped.agree()


def test_only_files_can_be_skipped_and_only_where_the_configuration_says_so() -> None:
    folder = FolderDataConfig(root="/x", max_skipped_fraction=0.25)
    assert most_skipped(folder) is None
    assert most_skipped(folder.model_copy(update={"on_error": "skip"})) == 0.25
    assert most_skipped(CIFAR10DataConfig()) is None
    assert SkippedPictures("training", 9, None, print).counts() == {}


@pytest.mark.parametrize("parts", [1, 2, 3, 9])
@pytest.mark.parametrize("indices", [(5, 6, 7), (5, 17, 6, 18), (17, 5, 18, 3), (17, 18), (3,)])
def test_a_batch_made_in_parts_is_the_same(
    broken: PictureSet, skipping: PicturesConfig, indices: tuple[int, ...], parts: int
) -> None:
    """As several loading processes make the first one; also where parts, or all, are damaged."""
    views = Views(broken, TrainingView(skipping), skips=True)
    whole = views[request(*indices)]
    made = [views[part] for part in parts_of(request(*indices), parts)]
    assert isinstance(whole, Batch)
    found = joined([batch for batch in made if isinstance(batch, Batch)])
    assert len(made) == min(parts, len(indices))
    assert torch.equal(found.pictures, whole.pictures)
    assert found.pictures.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found.labels, whole.labels)
    assert torch.equal(found.indices, whole.indices)
    assert (found.failures, found.stands_in) == (whole.failures, whole.stands_in)
