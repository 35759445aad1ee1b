"""Streams of batches of small pictures: same bits however they are made."""

import itertools
import multiprocessing

import numpy as np
import pytest
import torch

from service.config.data import PicturesConfig, RandAugmentConfig, TrivialAugmentConfig
from service.config.small_data import (
    CIFAR10DataConfig,
    SmallAugmentationConfig,
    SmallAutoAugmentConfig,
    SmallEvaluationPicturesConfig,
    SmallPicturesConfig,
    SmallTrainPicturesConfig,
    SVHNDataConfig,
)
from service.data.batch import Batch
from service.data.decoded import DecodedPictures
from service.data.folder import FolderPictures, list_folder
from service.data.loading import evaluation_batches, training_batches
from service.data.order import SampleOrder
from service.data.pictures import Pictures
from service.data.preprocessing import preprocessing

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
CPU = torch.device("cpu")


def config(augmentation: SmallAugmentationConfig | None = None) -> SmallPicturesConfig:
    """Returns crops, flips and cutout, after a policy if there is one."""
    policy = {} if augmentation is None else {"augmentation": augmentation}
    return CIFAR10DataConfig(
        train=SmallTrainPicturesConfig(cutout=8, **policy),
        evaluation=SmallEvaluationPicturesConfig(batch_size=4),
    )


@pytest.fixture(params=[None, RandAugmentConfig()], ids=["crops", "policy"])
def training(request: pytest.FixtureRequest) -> SmallPicturesConfig:
    return config(request.param)


def take(
    pictures: Pictures, training: SmallPicturesConfig, count: int, repeats: int = 1, **plan: int
) -> list[Batch]:
    """Returns the first batches of a stream, on their device."""
    order = SampleOrder(len(pictures), seed=5, repeats=repeats)
    stream = training_batches(pictures, training, order, **(PLAN | plan))
    try:
        return [batch.to(CPU) for batch in itertools.islice(stream, count)]
    finally:
        stream.close()


def same(first: Batch, second: Batch) -> bool:
    return (
        torch.equal(first.pictures, second.pictures)
        and torch.equal(first.labels, second.labels)
        and torch.equal(first.indices, second.indices)
    )


def test_a_batch_is_what_it_says(decoded: DecodedPictures, training: SmallPicturesConfig) -> None:
    (batch,) = take(decoded, training, 1)
    assert batch.pictures.shape == (8, 3, 32, 32)
    assert batch.pictures.dtype == torch.uint8
    assert batch.labels.dtype == batch.indices.dtype == torch.int64
    assert batch.labels.tolist() == decoded.labels[batch.indices.numpy()].tolist()


def test_making_views_leaves_the_pictures_in_memory_alone(
    decoded: DecodedPictures, training: SmallPicturesConfig
) -> None:
    before = decoded.digest()
    take(decoded, training, 6)
    assert decoded.digest() == before


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_number_of_workers_changes_no_bit(
    decoded: DecodedPictures, training: SmallPicturesConfig, world_size: int
) -> None:
    """Over an epoch border: 41 samples, 48 views."""
    for_all = take(decoded, training, 6)
    shares = [
        take(decoded, training, 6, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    for step, whole in enumerate(for_all):
        for rank, share in enumerate(shares):
            part = slice(rank, None, world_size)
            expected = Batch(whole.pictures[part], whole.labels[part], whole.indices[part])
            assert same(share[step], expected)


def test_micro_batches_make_up_the_batch(
    decoded: DecodedPictures, training: SmallPicturesConfig
) -> None:
    (whole,) = take(decoded, training, 1)
    parts = take(decoded, training, 3, accumulation=3)
    assert [len(part) for part in parts] == [3, 3, 2]
    for first, part in enumerate(parts):
        assert torch.equal(part.pictures, whole.pictures[first::3])


def test_a_resumed_stream_goes_on_with_the_same_bits(
    decoded: DecodedPictures, training: SmallPicturesConfig
) -> None:
    through = take(decoded, training, 8)
    resumed = take(decoded, training, 3, start=5 * 8)
    assert all(same(first, second) for first, second in zip(through[5:], resumed, strict=True))


def test_loading_processes_change_no_bit(decoded: DecodedPictures) -> None:
    training = config(TrivialAugmentConfig())
    alone = take(decoded, training, 6)
    helped = take(decoded, training, 6, loading_processes=2)
    assert all(same(first, second) for first, second in zip(alone, helped, strict=True))


def test_processes_are_started_for_a_policy_alone(decoded: DecodedPictures) -> None:
    for training, expected in ((config(), 0), (config(TrivialAugmentConfig()), 2)):
        order = SampleOrder(len(decoded), seed=5)
        stream = training_batches(decoded, training, order, **(PLAN | {"loading_processes": 2}))
        next(stream)
        assert len(multiprocessing.active_children()) == expected
        stream.close()


def test_an_epoch_shows_each_picture_once_and_the_next_shows_it_otherwise(
    decoded: DecodedPictures, training: SmallPicturesConfig
) -> None:
    batches = take(decoded, training, 82, batch_size=1)
    first, second = batches[:41], batches[41:]
    for epoch in (first, second):
        assert sorted(int(batch.indices) for batch in epoch) == list(range(41))
    again = {int(batch.indices): batch.pictures for batch in second}
    changed = [not torch.equal(batch.pictures, again[int(batch.indices)]) for batch in first]
    assert np.mean(changed) > 0.9


def test_repeated_augmentation_shows_a_picture_in_two_views(
    decoded: DecodedPictures, training: SmallPicturesConfig
) -> None:
    (batch,) = take(decoded, training, 1, repeats=2)
    indices = batch.indices.view(4, 2)
    assert torch.equal(indices[:, 0], indices[:, 1])
    assert not torch.equal(batch.pictures[0::2], batch.pictures[1::2])


def test_the_random_state_neither_matters_nor_changes(
    decoded: DecodedPictures, training: SmallPicturesConfig
) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    (first,) = take(decoded, training, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert same(first, take(decoded, training, 1)[0])


@pytest.mark.parametrize(
    "augmentation", [RandAugmentConfig(), SmallAutoAugmentConfig(), TrivialAugmentConfig()]
)
def test_a_policy_comes_before_the_crops(
    decoded: DecodedPictures, augmentation: SmallAugmentationConfig
) -> None:
    """The draws of crops stay as they are without it; most pictures change, none all the same."""
    order = SampleOrder(len(decoded), seed=5)
    plan = PLAN | {"batch_size": 41}
    plain = next(training_batches(decoded, config(), order, **plan))
    changed = next(training_batches(decoded, config(augmentation), order, **plan))
    assert plain.crops is not None
    assert changed.crops is not None
    assert torch.equal(plain.crops.draws, changed.crops.draws)
    assert torch.equal(changed.to(CPU).pictures, plain.crops.applied_to(changed.pictures))
    different = (plain.pictures != changed.pictures).flatten(1).any(1)
    assert different.float().mean() > 0.5


def test_digits_have_an_auto_augment_policy_of_their_own(decoded: DecodedPictures) -> None:
    def first(kind: type[SmallPicturesConfig], policy: str) -> torch.Tensor:
        train = SmallTrainPicturesConfig(augmentation=SmallAutoAugmentConfig(policy=policy))
        order = SampleOrder(len(decoded), seed=5)
        return next(training_batches(decoded, kind(train=train), order, **PLAN)).pictures

    assert torch.equal(first(SVHNDataConfig, "auto"), first(SVHNDataConfig, "svhn"))
    assert torch.equal(first(CIFAR10DataConfig, "auto"), first(SVHNDataConfig, "cifar10"))
    assert not torch.equal(first(SVHNDataConfig, "auto"), first(SVHNDataConfig, "cifar10"))


@pytest.mark.parametrize("world_size", [1, 3, 50])
def test_evaluation_shows_each_picture_as_it_is_exactly_once(
    decoded: DecodedPictures, world_size: int
) -> None:
    seen = []
    for rank in range(world_size):
        plan = {"rank": rank, "world_size": world_size, "loading_processes": 2}
        for batch in evaluation_batches(decoded, config(RandAugmentConfig()), **plan):
            moved = batch.to(CPU)
            assert 1 <= len(moved) <= 4
            indices = moved.indices.numpy()
            assert np.array_equal(moved.pictures.numpy(), decoded.pictures[indices])
            assert np.array_equal(moved.labels.numpy(), decoded.labels[indices])
            seen += indices.tolist()
    assert seen == list(range(41))


@pytest.mark.filterwarnings("error")
def test_a_configuration_of_the_other_kind_is_refused(
    decoded: DecodedPictures, drawn: FolderPictures
) -> None:
    encoded = list_folder(drawn / "train")
    share = {"rank": 0, "world_size": 1, "loading_processes": 0}
    for pictures, other in ((decoded, PicturesConfig()), (encoded, config())):
        with pytest.raises(TypeError, match="is not for"):
            training_batches(pictures, other, SampleOrder(41, 0), **PLAN)
        with pytest.raises(TypeError, match="is not for"):
            evaluation_batches(pictures, other, **share)


def test_preprocessing_is_described_alike_for_all_kinds() -> None:
    small, large = preprocessing(SVHNDataConfig()), preprocessing(PicturesConfig())
    assert small.keys() == large.keys()
    assert (small["resize"], small["size"]) == (32, 32)
    assert small["mean"] == [0.4377, 0.4438, 0.4728]
    assert (large["resize"], large["size"], large["interpolation"]) == (256, 224, "bilinear")
