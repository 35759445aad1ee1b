"""How often a classifier is right on each class, and what it takes the others for."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.inference.answers import Answers

TABLE = ("class", "pictures", "top1", "taken_for", "taken_for_share")
"""Columns of the table of classes; shares are percent of the class's pictures."""


class Confusion(NamedTuple):
    """Pictures of one class that were taken for one other."""

    shown: int
    """What they show."""
    taken_for: int
    """The output that was likeliest."""
    pictures: int
    """How many they are."""
    share: float
    """Of the pictures that show this class, 0 to 1."""


def confusions(answers: Answers) -> list[Confusion]:
    """Returns all confusions: the largest share of a class first, then by the classes' order."""
    wrong = ~answers.right
    pairs = np.stack([answers.labels[wrong], answers.predicted[wrong]], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    totals = np.bincount(answers.labels)
    made = [
        Confusion(shown, taken_for, count, count / int(totals[shown]))
        for (shown, taken_for), count in zip(found.tolist(), counts.tolist(), strict=True)
    ]
    return sorted(made, key=lambda one: -one.share)


def class_rows(answers: Answers, names: Sequence[str]) -> list[dict[str, str]]:
    """Returns a row for each class that is shown by a picture, the least recognised first.

    Args:
        answers: All answers.
        names: Of the outputs.
    """
    totals = np.bincount(answers.labels, minlength=len(names))
    right = np.bincount(answers.labels[answers.right], minlength=len(names))
    worst: dict[int, Confusion] = {}
    for one in confusions(answers):
        worst.setdefault(one.shown, one)
    present = np.flatnonzero(totals)
    shares = right[present] / totals[present]
    order = present[np.argsort(shares, kind="stable")].tolist()
    return [_row(label, int(totals[label]), int(right[label]), worst, names) for label in order]


def class_table(rows: Sequence[dict[str, str]]) -> bytes:
    """Returns the rows as CSV."""
    text = io.StringIO()
    table = csv.DictWriter(text, TABLE)
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode("utf-8", errors="surrogateescape")


def matrix(answers: Answers) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns what a confusion matrix shows.

    Returns:
        The classes and outputs that occur, (k,); and by class and output the share of the class's
        pictures, 0 to 1, (k, k); NaN in the rows of outputs that no picture shows.
    """
    occurring = np.union1d(answers.labels, answers.predicted)
    rows, columns = (np.searchsorted(occurring, one) for one in (answers.labels, answers.predicted))
    counts = np.zeros((len(occurring), len(occurring)))
    np.add.at(counts, (rows, columns), 1)
    totals = counts.sum(axis=1, keepdims=True)
    return occurring, np.divide(counts, totals, np.full(counts.shape, np.nan), where=totals > 0)


def _row(
    label: int, pictures: int, right: int, worst: dict[int, Confusion], names: Sequence[str]
) -> dict[str, str]:
    confused = worst.get(label)
    values = (
        names[label],
        str(pictures),
        f"{100 * right / pictures:.2f}",
        names[confused.taken_for] if confused else "",
        f"{100 * confused.share:.2f}" if confused else "",
    )
    return dict(zip(TABLE, values, strict=True))
