"""What a classifier said of each picture, whether it was right, and how sure it was."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """A classifier's answers to all pictures, in the order they were evaluated."""

    labels: NDArray[np.int64]
    """What each picture shows, (n,)."""
    predicted: NDArray[np.int64]
    """Its likeliest output, (n,)."""
    confidence: NDArray[np.float64]
    """Probability of that output, 0 to 1, (n,)."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each answer is right, (n,)."""
        return np.equal(self.labels, self.predicted)


class AnswerRecord:
    """Collects answers on the device; they come to the host once, at the end."""

    def __init__(self) -> None:
        self._labels: list[Tensor] = []
        self._predicted: list[Tensor] = []
        self._confidence: list[Tensor] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Adds a batch.

        Args:
            logits: (n, C).
            labels: int64 (n,).
        """
        logits = logits.float()
        # The ranking that top-1 is counted from: other operations decide ties otherwise.
        predicted = logits.topk(min(5, logits.shape[1]), dim=1).indices[:, :1]
        confidence = torch.softmax(logits, dim=1).gather(1, predicted)
        self._labels.append(labels)
        self._predicted.append(predicted[:, 0])
        self._confidence.append(confidence[:, 0])

    def gathered(self) -> Answers:
        """Returns all answers."""
        labels, predicted, confidence = (
            torch.cat(parts).cpu().numpy() if parts else np.zeros(0, np.int64)
            for parts in (self._labels, self._predicted, self._confidence)
        )
        return Answers(labels, predicted, confidence.astype(np.float64))


def mirrored_mean(logits: Tensor, mirrored: Tensor) -> Tensor:
    """Returns the logarithm of the mean of the probabilities of two views, (n, C).

    Args:
        logits: Of the pictures, (n, C).
        mirrored: Of their mirror images, (n, C).
    """
    both = (torch.log_softmax(one.float(), dim=1) for one in (logits, mirrored))
    return torch.logaddexp(*both) - float(np.log(2))
