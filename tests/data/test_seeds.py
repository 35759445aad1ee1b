"""Seeds of views."""

import numpy as np

from service.data.seeds import sample_seeds, uniform_integers


def test_the_mix_is_splitmix64() -> None:
    """First output of SplitMix64 from state 0 is e220a8397b1dcdaf (reference code, Vigna 2015)."""
    from service.data.seeds import _mixed

    assert _mixed(np.zeros(1, np.uint64))[0] == 0xE220A8397B1DCDAF


def test_neighbouring_views_have_different_seeds() -> None:
    epochs, indices, occurrences = (
        part.ravel() for part in np.meshgrid(np.arange(20), np.arange(500), np.arange(4))
    )
    seeds = np.concatenate(
        [sample_seeds(s, epochs, indices, occurrences) for s in (0, 1, 2**64 - 1)]
    )
    assert len(np.unique(seeds)) == 3 * 20 * 500 * 4


def test_each_bit_of_the_seeds_is_set_half_the_time() -> None:
    """5 standard errors over 64 bits; torch uses the lower 32."""
    count = 40_000
    zeros = np.zeros(count, np.int64)
    seeds = sample_seeds(0, zeros, np.arange(count), zeros)
    shares = [(seeds >> np.uint64(bit) & np.uint64(1)).mean() for bit in range(64)]
    assert np.abs(np.array(shares) - 0.5).max() < 5 * 0.5 / np.sqrt(count)


def test_a_seed_depends_on_its_own_view_alone() -> None:
    epochs, indices, occurrences = np.array([3, 4]), np.array([10, 11]), np.array([0, 1])
    both = sample_seeds(7, epochs, indices, occurrences)
    second = sample_seeds(7, epochs[1:], indices[1:], occurrences[1:])
    assert both[1] == second[0]


def test_integers_are_a_splitmix64_stream() -> None:
    """First outputs from state 0 (reference code, Vigna 2015), by their upper 32 bits."""
    (first,), (second,), (third,) = uniform_integers(np.zeros(1, np.uint64), (2**32,) * 3)
    assert (first, second, third) == (0xE220A839, 0x6E789E6A, 0x06C45D18)


def test_integers_are_uniform_below_their_bounds() -> None:
    """5 standard errors for each value."""
    count = 50_000
    zeros = np.zeros(count, np.int64)
    bounds = (1, 2, 9, 32)
    draws = uniform_integers(sample_seeds(0, zeros, np.arange(count), zeros), bounds)
    assert draws.shape == (4, count)
    for row, bound in zip(draws, bounds, strict=True):
        counts = np.bincount(row)
        assert len(counts) == bound
        error = np.sqrt(count / bound * (1 - 1 / bound))
        assert np.abs(counts - count / bound).max() <= 5 * error


def test_an_integer_depends_on_its_own_seed_and_place_alone() -> None:
    seeds = np.array([3, 2**64 - 1], np.uint64)
    assert uniform_integers(seeds[1:], (9, 9))[:, 0].tolist() == (
        uniform_integers(seeds, (9, 9, 5))[:2, 1].tolist()
    )
