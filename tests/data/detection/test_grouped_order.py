"""The order in which batches hold wide or tall pictures: contract 4 of the design."""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.config.detection_data import (
    COCODataConfig,
    DetectionTrainConfig,
    LargeScaleJitterConfig,
)
from service.data.detection.order import GroupedOrder, aspect_groups, detection_order
from service.data.detection.reading import read_detection_set
from service.data.order import SampleOrder, worker_positions

properties = settings(deadline=None, database=None)


class Case(NamedTuple):
    groups: NDArray[np.int64]
    seed: int
    batch_size: int

    def order(self) -> GroupedOrder:
        return GroupedOrder(self.groups, self.seed, self.batch_size)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    groups = draw(st.lists(st.integers(0, 2), min_size=1, max_size=70))
    return Case(np.array(groups, np.int64), draw(st.integers(0, 2**70)), draw(st.integers(1, 24)))


@properties
@given(cases(), st.integers(0, 10**6))
def test_each_sample_comes_exactly_once_an_epoch(case: Case, epoch: int) -> None:
    size = len(case.groups)
    indices, epochs, occurrences = case.order().at(np.arange(epoch * size, (epoch + 1) * size))
    assert sorted(indices) == list(range(size))
    assert set(epochs) == {epoch}
    assert set(occurrences) == {0}


@properties
@given(cases(), st.lists(st.integers(0, 500), max_size=40))
def test_a_position_holds_the_same_sample_whatever_is_asked_with_it(
    case: Case, positions: list[int]
) -> None:
    whole, _, _ = case.order().at(np.arange(501))
    some, _, _ = case.order().at(np.array(positions, np.int64))
    assert some.tolist() == whole[positions].tolist()


@properties
@given(cases(), st.integers(0, 50))
def test_batches_within_an_epoch_are_of_one_group_but_for_one_less_than_the_groups(
    case: Case, epoch: int
) -> None:
    size, batch_size = len(case.groups), case.batch_size
    first = -(-epoch * size // batch_size)
    last = (epoch + 1) * size // batch_size
    mixed = 0
    for batch in range(first, last):
        places = np.arange(batch * batch_size, (batch + 1) * batch_size)
        indices, _, _ = case.order().at(places)
        mixed += len(set(case.groups[indices].tolist())) > 1
    assert mixed <= len(set(case.groups.tolist())) - 1


@properties
@given(cases(), st.integers(1, 6), st.integers(0, 5))
def test_any_number_of_workers_sees_the_same_global_batches(
    case: Case, world_size: int, step: int
) -> None:
    batch_size = max(case.batch_size, world_size)
    order = GroupedOrder(case.groups, case.seed, batch_size)
    expected, _, _ = order.at(np.arange(step * batch_size, (step + 1) * batch_size))
    for rank in range(world_size):
        positions = worker_positions(
            start=0, batch_size=batch_size, accumulation=1, rank=rank, world_size=world_size
        )
        share = next(itertools.islice(positions, step, None))
        own = GroupedOrder(case.groups, case.seed, batch_size)
        assert own.at(share)[0].tolist() == expected[rank::world_size].tolist()


def test_samples_are_uniform_over_the_places_of_whole_batches() -> None:
    """5 standard errors; the first 8 of 16 samples are wide, B is 4, so nothing is left over."""
    epochs = 2000
    order = GroupedOrder(np.arange(16) // 8, seed=1, batch_size=4)
    indices, _, _ = order.at(np.arange(16 * epochs))
    for sample in (0, 15):
        places = np.nonzero(indices.reshape(epochs, 16) == sample)[1]
        counts = np.bincount(places, minlength=16)
        error = np.sqrt(epochs / 16 * (1 - 1 / 16))
        assert np.abs(counts - epochs / 16).max() < 5 * error


def test_the_order_is_the_same_on_every_version() -> None:
    """A run that resumes under a later NumPy must go on with the same order."""
    order = GroupedOrder(np.array([0, 0, 1, 0, 1, 0, 0, 1]), seed=3, batch_size=3)
    indices, _, _ = order.at(np.arange(16))
    assert indices.tolist() == [2, 7, 4, 0, 1, 5, 6, 3, 0, 5, 6, 3, 7, 2, 4, 1]


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        GroupedOrder(np.zeros(3, np.int64), 0, 0)


def test_square_pictures_count_as_wide() -> None:
    assert aspect_groups(np.array([[5, 4], [4, 4], [4, 5]])).tolist() == [0, 0, 1]


def test_the_configuration_chooses_the_order(coco_config: COCODataConfig) -> None:
    root = Path(coco_config.root)
    pictures = read_detection_set(
        root / coco_config.train_annotations, root / coco_config.train_pictures, masks=True
    )
    train = DetectionTrainConfig()
    assert isinstance(detection_order(pictures, train, 0, 4), GroupedOrder)
    alone = train.model_copy(update={"group_by_aspect_ratio": False})
    assert type(detection_order(pictures, alone, 0, 4)) is SampleOrder
    square = train.model_copy(update={"scale": LargeScaleJitterConfig()})
    assert type(detection_order(pictures, square, 0, 4)) is SampleOrder
