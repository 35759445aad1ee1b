"""The order of samples: contract 4 of the design."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config.errors import ConfigurationError
from service.data.order import SampleOrder, evaluation_share, worker_positions

properties = settings(deadline=None, database=None)
sizes = st.integers(1, 60)
seeds = st.integers(0, 2**70)


@st.composite
def divisions(draw: st.DrawFn) -> dict[str, int]:
    """A global batch and how it is divided: at least one sample for each micro-batch."""
    accumulation = draw(st.integers(1, 4))
    world_size = draw(st.integers(1, 6))
    batch_size = draw(st.integers(accumulation * world_size, accumulation * world_size + 20))
    start = draw(st.integers(0, 10**9))
    return {
        "start": start,
        "batch_size": batch_size,
        "accumulation": accumulation,
        "world_size": world_size,
    }


@properties
@given(sizes, seeds, st.integers(0, 10**6))
def test_each_sample_comes_exactly_once_an_epoch(size: int, seed: int, epoch: int) -> None:
    indices, epochs, occurrences = SampleOrder(size, seed).at(
        np.arange(epoch * size, (epoch + 1) * size)
    )
    assert sorted(indices) == list(range(size))
    assert set(epochs) == {epoch}
    assert set(occurrences) == {0}


@properties
@given(sizes, seeds, st.integers(2, 5), st.integers(0, 9))
def test_repeated_augmentation_shows_the_first_of_the_permutation_several_times(
    size: int, seed: int, repeats: int, epoch: int
) -> None:
    positions = np.arange(epoch * size, (epoch + 1) * size)
    once, _, _ = SampleOrder(size, seed).at(positions)
    indices, epochs, occurrences = SampleOrder(size, seed, repeats).at(positions)
    assert indices.tolist() == np.repeat(once, repeats)[:size].tolist()
    assert occurrences.tolist() == np.tile(np.arange(repeats), size)[:size].tolist()
    assert set(epochs) == {epoch}
    assert len(set(indices)) == -(-size // repeats)


@properties
@given(sizes, seeds, st.lists(st.integers(0, 500), max_size=40))
def test_a_position_holds_the_same_sample_whatever_is_asked_with_it(
    size: int, seed: int, positions: list[int]
) -> None:
    whole = SampleOrder(size, seed).at(np.arange(501))
    some = SampleOrder(size, seed).at(np.array(positions, np.int64))
    for everything, part in zip(whole, some, strict=True):
        assert part.tolist() == everything[positions].tolist()


def test_the_order_is_the_same_on_every_version() -> None:
    """A run that resumes under a later NumPy must go on with the same order."""
    indices, _, _ = SampleOrder(8, seed=3).at(np.arange(16))
    assert indices.tolist() == [0, 1, 2, 7, 5, 6, 4, 3, 5, 6, 3, 7, 0, 1, 2, 4]


def test_samples_are_uniform_over_the_places_of_an_epoch() -> None:
    """5 standard errors; the chance of a false alarm over 8 cells is 5e-6."""
    size, epochs = 8, 4000
    indices, _, _ = SampleOrder(size, seed=1).at(np.arange(size * epochs))
    places = np.nonzero(indices.reshape(epochs, size) == 0)[1]
    counts = np.bincount(places, minlength=size)
    error = np.sqrt(epochs * (1 / size) * (1 - 1 / size))
    assert np.abs(counts - epochs / size).max() < 5 * error


def test_seeds_have_orders_of_their_own() -> None:
    first, _, _ = SampleOrder(100, seed=0).at(np.arange(200))
    other, _, _ = SampleOrder(100, seed=1).at(np.arange(200))
    assert (first[:100] != other[:100]).any()
    assert (first[:100] != first[100:]).any()


@pytest.mark.parametrize(("size", "repeats"), [(0, 1), (5, 0)])
def test_an_order_of_nothing_is_refused(size: int, repeats: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        SampleOrder(size, 0, repeats)


@properties
@given(divisions(), st.integers(0, 3))
def test_the_workers_shares_make_up_the_global_batch(division: dict[str, int], step: int) -> None:
    """For every world size, so changing it leaves the global batches as they are."""
    accumulation, world_size = division["accumulation"], division["world_size"]
    first = division["start"] + step * division["batch_size"]
    batch = np.arange(first, first + division["batch_size"])
    for rank in range(world_size):
        stream = worker_positions(**division, rank=rank)
        parts = list(itertools.islice(stream, step * accumulation, (step + 1) * accumulation))
        assert np.sort(np.concatenate(parts)).tolist() == batch[rank::world_size].tolist()
        lengths = [len(part) for part in parts]
        assert max(lengths) - min(lengths) <= 1
        assert min(lengths) >= 1


@properties
@given(divisions(), st.integers(1, 24))
def test_any_workers_that_divide_the_micro_batches_compute_the_same_ones(
    division: dict[str, int], workers: int
) -> None:
    """In whatever division: 2 workers of 2 each, or 1 of 4."""
    parts = division["accumulation"] * division["world_size"]
    workers = max(w for w in range(1, workers + 1) if parts % w == 0)
    other = division | {"accumulation": parts // workers, "world_size": workers}

    def first_step(division: dict[str, int]) -> list[list[int]]:
        shares = [
            itertools.islice(worker_positions(**division, rank=rank), division["accumulation"])
            for rank in range(division["world_size"])
        ]
        # In the order of the micro-batches: each worker's first, then each one's second.
        return [part.tolist() for row in zip(*shares, strict=True) for part in row]

    assert first_step(other) == first_step(division)


@properties
@given(divisions(), st.integers(1, 5), st.integers(0, 5))
def test_resuming_at_a_position_goes_on_as_if_nothing_had_happened(
    division: dict[str, int], steps: int, rank: int
) -> None:
    rank %= division["world_size"]
    done = steps * division["accumulation"]
    through = itertools.islice(worker_positions(**division, rank=rank), done, done + 6)
    resumed = division | {"start": division["start"] + steps * division["batch_size"]}
    again = itertools.islice(worker_positions(**resumed, rank=rank), 6)
    for expected, part in zip(through, again, strict=True):
        assert part.tolist() == expected.tolist()


def test_a_batch_too_small_for_its_workers_says_how_many_it_needs() -> None:
    with pytest.raises(ConfigurationError, match=r"training.batch_size: 7 .* at least 8"):
        worker_positions(start=0, batch_size=7, accumulation=2, rank=0, world_size=4)


@properties
@given(st.integers(0, 200), st.integers(1, 40))
def test_evaluation_covers_each_index_exactly_once(size: int, world_size: int) -> None:
    shares = [evaluation_share(size, rank, world_size) for rank in range(world_size)]
    assert np.concatenate(shares).tolist() == list(range(size))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_equal_numbers_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 64 random bits two may be equal; the order is then still the same on every machine."""
    bits = np.random.default_rng(0).integers(0, 50, 1000, np.uint64)
    monkeypatch.setattr("service.data.order.random_bits", lambda *_: bits)
    indices, _, _ = SampleOrder(1000, seed=0).at(np.arange(1000))
    assert indices.tolist() == sorted(range(1000), key=lambda place: int(bits[place]))
