"""The real photographs beside the checkout."""

from pathlib import Path

import numpy as np
import pytest
import torch

from service.config.data import FolderDataConfig
from service.data.decoding import decode
from service.data.loading import evaluation_batches, training_batches
from service.data.order import SampleOrder
from service.data.splits import Splits, open_splits

SAMPLE = Path(__file__).parents[3] / "shared/data/imagenet-sample"

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker"),
    pytest.mark.skipif(not SAMPLE.is_dir(), reason="the shared pictures are not here"),
]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    return open_splits(FolderDataConfig(root=str(SAMPLE)), tmp_path_factory.mktemp("cache"))


def test_labels_are_right_though_val_has_no_fish(splits: Splits) -> None:
    assert len(splits.train.classes) == 10
    assert (len(splits.train), len(splits.evaluation)) == (225, 56)
    fish = splits.train.classes.index("fish")
    assert fish in splits.train.labels
    assert fish not in splits.evaluation.labels
    for pictures in (splits.train, splits.evaluation):
        for index, label in enumerate(pictures.labels):
            assert pictures.name(index).startswith(f"{pictures.classes[label]}/")


def test_every_photograph_is_decoded_grey_ones_too(splits: Splits) -> None:
    grey = 0
    for index in range(len(splits.evaluation)):
        picture = decode(splits.evaluation.read(index))
        assert picture.shape[0] == 3
        grey += int(torch.equal(picture[0], picture[1]))
    for index in range(len(splits.train)):
        content = splits.train.read(index)
        frame = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
        if content[frame + 9] == 1:
            picture = decode(content)
            assert torch.equal(picture[0], picture[2])
            grey += 1
    assert grey > 0


def test_photographs_become_batches(splits: Splits) -> None:
    config = FolderDataConfig(root=str(SAMPLE))
    order = SampleOrder(len(splits.train), 0)
    plan = {"start": 0, "batch_size": 32, "accumulation": 1, "rank": 0, "world_size": 1}
    stream = training_batches(splits.train, config, order, **plan, loading_processes=2)
    batch = next(stream)
    stream.close()
    assert batch.pictures.shape == (32, 3, 224, 224)
    # Photographs: the channel means are those of ImageNet, within a tenth of the range.
    means = batch.pictures.float().mean((0, 2, 3)) / 255
    assert np.abs(means.numpy() - np.array(config.mean)).max() < 0.1
    seen = [
        index
        for batch in evaluation_batches(
            splits.evaluation, config, rank=0, world_size=1, loading_processes=2
        )
        for index in batch.indices.tolist()
    ]
    assert seen == list(range(56))
