"""The linear decay rule."""

import pytest

from service.regularization import linear_decay


def test_probability_falls_evenly_from_the_first_block_to_p_l() -> None:
    assert [linear_decay(block, 4, 0.5) for block in (1, 2, 3, 4)] == [0.875, 0.75, 0.625, 0.5]


@pytest.mark.parametrize("blocks", [1, 3, 16, 50, 67])
@pytest.mark.parametrize("p_l", [0.0, 0.1, 0.3, 0.7, 1.0])
def test_ends_are_exact(blocks: int, p_l: float) -> None:
    assert linear_decay(blocks, blocks, p_l) == p_l
    assert linear_decay(1, blocks, p_l) == pytest.approx(1 - (1 - p_l) / blocks, abs=1e-15)


@pytest.mark.parametrize("blocks", [3, 16, 50, 67])
def test_p_l_one_leaves_every_block_alone(blocks: int) -> None:
    assert {linear_decay(block, blocks, 1.0) for block in range(1, blocks + 1)} == {1.0}


@pytest.mark.parametrize(
    ("block", "p_l", "message"),
    [
        (0, 0.5, r"block must lie in 1\.\.4"),
        (5, 0.5, r"block must lie in 1\.\.4"),
        (1, 1.5, "p_l is a probability"),
        (1, float("nan"), "p_l is a probability"),
    ],
)
def test_wrong_arguments_are_named(block: int, p_l: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        linear_decay(block, 4, p_l)
