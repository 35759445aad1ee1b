"""Whether what was exported answers as the network does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from service.config.errors import RunError

BATCHES = (1, 3, 8)
"""Sizes of the first batches; the last one holds the other pictures."""

TOLERANCE = 1e-4
"""Largest difference of a logit, in units of the largest logit or of 1 if that is less. Other
orders of summation make about a hundredth of it."""

Answers = Callable[[Tensor], Tensor]
"""From views, uint8 (n, 3, S, S), to logits (n, C)."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison found."""

    pictures: int
    """How many were compared."""
    batches: tuple[int, ...]
    """Sizes of the batches."""
    tolerance: float
    """Largest difference that is allowed."""
    largest_difference: float
    """Between two logits."""
    same_classes: int
    """Pictures of the same likeliest class."""

    def __str__(self) -> str:
        sizes = ", ".join(map(str, self.batches))
        return (
            f"{self.pictures} pictures in batches of {sizes}: logits differ by at most "
            f"{self.largest_difference:.1e} (tolerance {self.tolerance:.1e}), "
            f"{self.same_classes} likeliest classes are the same"
        )


def compare(what: str, expected: Tensor, answers: Answers, pictures: Tensor) -> Comparison:
    """Compares answers in batches of several sizes with those of the network.

    Args:
        what: What was exported, for the message.
        expected: The network's logits (n, C).
        answers: Of what was exported.
        pictures: Views, uint8 (n, 3, S, S).

    Raises:
        RunError: They differ by more than the tolerance.
    """
    batches = tuple(batch_sizes(len(pictures)))
    found = torch.cat([answers(batch) for batch in torch.split(pictures, list(batches))])
    if found.shape != expected.shape:
        raise RunError(
            f"{what}: answers {tuple(found.shape)} logits instead of {tuple(expected.shape)}"
        )
    tolerance = TOLERANCE * max(1.0, float(expected.abs().max()))
    difference = float((found - expected).abs().max())
    labels, likeliest = found.argmax(1), expected.argmax(1)
    same = int((labels == likeliest).sum())
    made = Comparison(len(pictures), batches, tolerance, difference, same)
    # A class within the tolerance of the likeliest is a tie, which rounding decides.
    lead = expected.amax(1) - expected.gather(1, labels[:, None])[:, 0]
    # Written so that a NaN is a failure.
    if not (difference <= tolerance and bool((lead <= tolerance).all())):
        raise RunError(f"{what}: is not what the network is; nothing is written. {made}")
    return made


def batch_sizes(pictures: int) -> Iterator[int]:
    """Yields the sizes of the batches that a number of pictures is compared in."""
    left = pictures
    for size in BATCHES:
        if left > size:
            yield size
            left -= size
    yield left
