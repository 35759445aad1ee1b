"""One seed for each view of a sample, from where it stands and nothing else."""

import numpy as np
from numpy.typing import NDArray


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


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One step of SplitMix64: a bijection in which each input bit changes half the output bits."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
