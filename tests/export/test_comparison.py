"""What is not the network is not let through."""

import pytest
import torch

from service.config.errors import RunError
from service.export.comparison import TOLERANCE, batch_sizes, compare

PICTURES = torch.zeros(20, 3, 4, 4, dtype=torch.uint8)
EXPECTED = torch.eye(5)[torch.arange(20) % 5] * 100


def found(change: torch.Tensor) -> object:
    """Compares with answers that are changed by an addition."""
    answers = iter(torch.split(EXPECTED + change, list(batch_sizes(20))))
    return compare("a file", EXPECTED, lambda batch: next(answers), PICTURES)


def test_batches_of_all_sizes() -> None:
    assert list(batch_sizes(32)) == [1, 3, 8, 20]
    assert list(batch_sizes(13)) == [1, 3, 8, 1]
    assert list(batch_sizes(4)) == [1, 3]
    assert list(batch_sizes(1)) == [1]


def test_differences_in_proportion_to_the_answers() -> None:
    change = torch.zeros(20, 5)
    change[7, 2] = 99 * TOLERANCE
    assert found(change).largest_difference == pytest.approx(99 * TOLERANCE, rel=1e-3)  # type: ignore[attr-defined]
    change[7, 2] = 101 * TOLERANCE
    with pytest.raises(RunError, match="is not what the network is"):
        found(change)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number(value: float) -> None:
    change = torch.zeros(20, 5)
    change[19, 4] = value
    with pytest.raises(RunError, match="is not what the network is"):
        found(change)


def test_other_outputs() -> None:
    with pytest.raises(RunError, match=r"\(20, 4\) logits instead of \(20, 5\)"):
        compare("a file", EXPECTED, lambda batch: torch.zeros(len(batch), 4), PICTURES)
