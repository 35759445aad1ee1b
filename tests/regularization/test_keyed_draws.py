"""Random numbers of a key and a place.

Statistical bounds: 5 standard errors for sums; for a χ² of m cells, which is about normal for many
cells, 5 of its own, √(2m). Seeds are fixed.
"""

import itertools

import pytest
import torch
from torch import Tensor

from service.regularization import scaling
from service.regularization.keyed_draws import draw_keys, uniform_at
from service.regularization.scaling import scaled

COUNT = 2**20
PLACES = torch.arange(COUNT, dtype=torch.int32)
CPU = torch.device("cpu")


def assert_even(cells: Tensor, number: int) -> None:
    """Asserts that each of so many cells is hit equally often."""
    expected = len(cells) / number
    counts = torch.bincount(cells, minlength=number).double()
    squares = float(((counts - expected).square() / expected).sum())
    assert abs(squares - (number - 1)) < 5 * (2 * (number - 1)) ** 0.5


def pairs(first: Tensor, second: Tensor) -> Tensor:
    return (first * 64).long() * 64 + (second * 64).long()


def draws(keys: int) -> list[Tensor]:
    return [uniform_at(PLACES, key) for key in draw_keys(keys, CPU)]


def test_draws_are_uniform() -> None:
    for drawn in draws(8):
        assert float(drawn.min()) >= 0
        assert float(drawn.max()) < 1
        assert_even((drawn * 4096).long(), 4096)
        bits = torch.stack([(drawn * 2**24).int() >> bit & 1 for bit in range(24)])
        share = bits.double().mean(1)
        assert float((share - 0.5).abs().max()) < 5 * 0.5 / COUNT**0.5


@pytest.mark.parametrize("distance", [1, 2, 3, 7, 14, 16, 56, 64, 256, 4096])
def test_draws_at_two_places_are_independent(distance: int) -> None:
    # Neighbours in a row, in a column, in another channel.
    for drawn in draws(4):
        first, second = drawn[:-distance], drawn[distance:]
        assert_even(pairs(first, second), 64 * 64)
        correlation = ((first - 0.5) * (second - 0.5)).double().mean() * 12
        assert abs(float(correlation)) < 5 / len(first) ** 0.5


def test_draws_of_two_keys_are_independent() -> None:
    for first, second in itertools.pairwise(draws(9)):
        assert_even(pairs(first, second), 64 * 64)


def test_draws_at_one_place_are_uniform_over_keys() -> None:
    keys = draw_keys(COUNT, CPU).T
    first, second = (uniform_at(torch.tensor(place, dtype=torch.int32), keys) for place in (0, 1))
    assert_even((first * 4096).long(), 4096)
    assert_even(pairs(first, second), 64 * 64)


def test_a_key_repeats_its_draws_and_no_two_are_alike() -> None:
    torch.manual_seed(4)
    keys = draw_keys(1000, CPU)
    torch.manual_seed(4)
    assert torch.equal(keys, draw_keys(1000, CPU))
    assert len(keys.unique(dim=0)) == 1000
    key = keys[0]
    assert torch.equal(uniform_at(PLACES, key), uniform_at(PLACES, key))
    assert torch.equal(uniform_at(PLACES[500:900], key), uniform_at(PLACES, key)[500:900])


@pytest.mark.parametrize("shape", [(3, 5), (0, 4), (40, 7, 11), (9, 3, 4, 2), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pieces_make_up_the_whole(
    shape: tuple[int, ...],
    channels_last: bool,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = torch.randn(shape).to(dtype)
    if channels_last and len(shape) == 4:
        values = values.to(memory_format=torch.channels_last)
    interval = torch.rand(2, len(values), *(1 for _ in shape[1:]))
    (key,) = draw_keys(1, CPU)
    at_once = scaled(values, interval, key, "pixel")
    monkeypatch.setattr(scaling, "_PIECE", 100)
    in_pieces = scaled(values, interval, key, "pixel")
    assert torch.equal(in_pieces, at_once)
    assert in_pieces.stride() == values.stride()


def test_values_that_lie_scattered_in_memory_are_scaled_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scaling, "_PIECE", 100)
    (key,) = draw_keys(1, CPU)
    interval = torch.tensor([2.0, 2.0])
    for values in (torch.ones(()).expand(3, 4, 5, 6), torch.randn(6, 8, 4, 4)[::2, 1:5]):
        assert torch.equal(scaled(values, interval, key, "pixel"), 2 * values)
