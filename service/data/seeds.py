"""Seeds of views, from where a sample stands and nothing else, and integers drawn from them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
"""What SplitMix64 adds to its state for each output."""


def sample_seeds(
    seed: int,
    epochs: NDArray[np.int64],
    indices: NDArray[np.int64],
    occurrences: NDArray[np.int64],
) -> NDArray[np.uint64]:
    """Returns the seeds of the views' augmentations.

    Each part is added to a state that SplitMix64 then mixes (Steele, Lea, Flood: "Fast splittable
    pseudorandom number generators", OOPSLA 2014). torch's CPU generator uses the lower
    32 bits of a seed; they are as well mixed as the upper ones.

    Args:
        seed: Seed of the run; taken modulo 2^64.
        epochs: Epoch of each view, (k,).
        indices: The sample's index, (k,).
        occurrences: Which occurrence of the sample in its epoch, (k,).

    Returns:
        Seeds (k,), uniform over 64 bits.
    """
    state = _mixed(np.full(len(indices), seed % 2**64, np.uint64))
    for part in (epochs, indices, occurrences):
        state = _mixed(state + part.astype(np.uint64))
    return state


def uniform_integers(seeds: NDArray[np.uint64], bounds: Sequence[int]) -> NDArray[np.int64]:
    """Draws integers for each seed from a SplitMix64 stream of its own.

    Output k is the same whatever is drawn after it and for other seeds.

    Args:
        seeds: Seeds of the streams, (n,).
        bounds: Exclusive upper bounds of the integers, at most 2^32 each, (k,).

    Returns:
        Integers (k, n), row j from 0 to `bounds[j]` - 1; their probabilities differ from equal ones
        by less than 2^-32.
    """
    steps = np.arange(len(bounds), dtype=np.uint64)[:, None] * _STEP
    words = _mixed(seeds + steps) >> np.uint64(32)
    scaled = words * np.array(bounds, np.uint64)[:, None] >> np.uint64(32)
    return scaled.astype(np.int64)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One step of SplitMix64: a bijection in which each input bit changes half the output bits."""
    state = state + _STEP
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
