"""The real CIFAR-10 beside the checkout."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from service.config.small_data import ParquetDataConfig
from service.data.loading import training_batches
from service.data.order import SampleOrder
from service.data.splits import Splits, open_splits

ROOT = Path(__file__).parents[3] / "shared/data/cifar10"
CONFIG = ParquetDataConfig(root=str(ROOT), train_pictures=4000)

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not ROOT.is_dir(), reason="the shared pictures are not here"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def splits(cache: Path) -> Splits:
    return open_splits(CONFIG.model_copy(update={"train_pictures": None}), cache)


def test_all_pictures_are_there_in_equal_classes(splits: Splits) -> None:
    assert np.bincount(splits.train.labels).tolist() == [5000] * 10
    assert np.bincount(splits.evaluation.labels).tolist() == [1000] * 10
    assert len(splits.train.classes) == 10


def test_the_published_mean_and_deviation_are_those_of_the_pictures(splits: Splits) -> None:
    """To three thousandths: the files hold JPEG pictures, which are a little smoother."""
    levels = np.arange(256) / 255
    for channel, (mean, std) in enumerate(zip(CONFIG.mean, CONFIG.std, strict=True)):
        parts = np.array_split(splits.train.pictures[:, channel], 50)
        shares = sum(np.bincount(part.ravel(), minlength=256) for part in parts) / (50_000 * 1024)
        assert abs(shares @ levels - mean) < 0.003
        assert abs((shares @ (levels - mean) ** 2) ** 0.5 - std) < 0.003


def test_a_reduced_set_is_balanced_and_comes_from_the_same_cache(
    splits: Splits, cache: Path
) -> None:
    reduced = open_splits(CONFIG, cache)
    assert np.bincount(reduced.train.labels).tolist() == [400] * 10
    assert len(reduced.evaluation) == len(splits.evaluation)
    assert len(list(cache.iterdir())) == 1


def test_an_epoch_of_batches_holds_every_picture(splits: Splits) -> None:
    order = SampleOrder(len(splits.train), 0)
    plan = {"start": 0, "batch_size": 1000, "accumulation": 1, "rank": 0, "world_size": 1}
    stream = training_batches(splits.train, CONFIG, order, **plan, loading_processes=0)
    seen = []
    for batch in itertools.islice(stream, 50):
        moved = batch.to(torch.device("cpu"))
        assert moved.pictures.shape == (1000, 3, 32, 32)
        seen.append(moved.indices)
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(50_000))
