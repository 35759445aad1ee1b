"""Compressed run lengths, checked without decoding: pycocotools writes where damaged ones say."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

_MOST_GROUPS = 6  # of five bits: more than any picture's pixels need


def covers(texts: Sequence[str], areas: Integers) -> NDArray[np.bool_]:
    """Returns which run lengths are well formed and fill their picture exactly.

    The format (pycocotools' maskApi.c, rleToString): a number is written in groups of five bits,
    low ones first, each with 48 added and 32 more where another follows; the last group's highest
    bit is the sign. From the fourth number on a number is the difference to the one before last.

    Args:
        texts: k compressed run lengths, ASCII.
        areas: Pixels of their pictures, (k,).

    Returns:
        Booleans (k,).
    """
    lengths = np.array([len(text) for text in texts], np.int64)
    fitting = lengths > 0
    groups = np.frombuffer("".join(texts).encode("ascii"), np.uint8).astype(np.int64) - 48
    owners = np.repeat(np.arange(len(texts)), lengths)
    fitting[owners[(groups < 0) | (groups > 63)]] = False
    last = (groups & 32) == 0
    ends = np.cumsum(lengths) - 1
    fitting[fitting] = last[ends[fitting]]
    # Only well-formed texts go on: others would run into their neighbours.
    chosen = fitting[owners]
    numbers, owners, short = _numbers(groups[chosen], owners[chosen])
    fitting[owners[~short]] = False
    runs = _undone_differences(numbers, owners)
    within = (runs >= 0) & (runs <= areas[owners])
    fitting[owners[~within]] = False
    totals = np.zeros(len(texts), np.int64)
    np.add.at(totals, owners[within], runs[within])
    filled: NDArray[np.bool_] = fitting & (totals == areas)
    return filled


def _numbers(groups: Integers, owners: Integers) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """Joins groups to numbers; returns them, whose they are, and which are short enough to hold."""
    last = np.flatnonzero((groups & 32) == 0)
    first = np.concatenate(([0], last[:-1] + 1)) if len(last) else last
    lengths = last - first + 1
    place = np.arange(len(groups)) - np.repeat(first, lengths)
    shift = 5 * np.minimum(place, _MOST_GROUPS)
    numbers = np.add.reduceat((groups & 31) << shift, first) if len(first) else first
    negative = (groups[last] & 16) != 0
    short = lengths <= _MOST_GROUPS
    numbers = numbers - np.where(negative, 1 << 5 * np.minimum(lengths, _MOST_GROUPS + 1), 0)
    return numbers, owners[last], short


def _undone_differences(numbers: Integers, owners: Integers) -> Integers:
    """Returns run lengths: sums over every other number of an owner, from its second on.

    The first stands for itself; the third is absolute and starts the sums of the even places.
    """
    if not len(numbers):
        return numbers
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    place = np.arange(len(numbers)) - np.repeat(starts, np.diff([*starts, len(numbers)]))
    chain = np.where(place == 0, 0, 1 + place % 2) + 3 * owners
    order = np.argsort(chain, kind="stable")
    summed = np.cumsum(numbers[order])
    heads = np.flatnonzero(np.diff(chain[order], prepend=-1))
    before = summed[heads] - numbers[order][heads]
    runs = np.empty_like(numbers)
    runs[order] = summed - np.repeat(before, np.diff([*heads, len(numbers)]))
    return runs
