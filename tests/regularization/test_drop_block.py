"""What DropBlock drops: the shape of its masks and how much of a map they take.

Statistical bound: a sample frequency lies within 5 standard errors of its closed form (a chance of
6e-7 to miss, and the seed is fixed).
"""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.regularization import DropBlock2d, DropBlock3d

CASES = [  # sides, block size
    ((14, 14), 7),  # the paper's
    ((9, 9), 3),
    ((9, 9), 4),  # even
    ((8, 8), 2),
    ((5, 5), 1),  # dropout
    ((6, 11), 3),  # not square
    ((4, 9), 6),  # larger than one side only
    ((3, 5), 7),  # larger than the map
    ((7, 7), 7),
    ((1, 1), 7),
    ((1, 6), 3),
    ((5, 6, 7), 3),
    ((4, 8, 3), 4),
    ((2, 2, 2), 5),
]
every_case = pytest.mark.parametrize(("sides", "size"), CASES)


def unit(drop_prob: float, size: int, sides: Sequence[int], **more: bool) -> nn.Module:
    kind = DropBlock2d if len(sides) == 2 else DropBlock3d
    return kind(drop_prob, size, **more)


def dropped(module: nn.Module, *shape: int) -> Tensor:
    output: Tensor = module(torch.ones(*shape))
    return output == 0


def blocks_of(sides: Sequence[int], size: int) -> list[int]:
    return [min(size, side) for side in sides]


def gamma(drop_prob: float, sides: Sequence[int], size: int) -> float:
    """drop_prob · volume / block's volume / places, with the block cut to the map."""
    blocks = blocks_of(sides, size)
    places = math.prod(side - block + 1 for side, block in zip(sides, blocks, strict=True))
    return drop_prob * math.prod(sides) / math.prod(blocks) / places


def covering_seeds(sides: Sequence[int], size: int) -> Tensor:
    """How many places of a seed drop each value, counted one by one."""
    count = torch.zeros(*sides)
    blocks = blocks_of(sides, size)
    corners = [range(side - block + 1) for side, block in zip(sides, blocks, strict=True)]
    for corner in itertools.product(*corners):
        count[tuple(slice(c, c + b) for c, b in zip(corner, blocks, strict=True))] += 1
    return count


def expected_fractions(drop_prob: float, sides: Sequence[int], size: int) -> Tensor:
    """The probability that each value is dropped: 1 − (1 − γ)^(seeds that cover it)."""
    return 1 - (1 - gamma(drop_prob, sides, size)) ** covering_seeds(sides, size).double()


def union_of_whole_blocks(mask: Tensor, size: int) -> Tensor:
    """The union of all blocks that lie wholly inside a mask (N, C, ...)."""
    blocks = blocks_of(mask.shape[2:], size)
    whole = mask
    for dimension, block in enumerate(blocks, start=2):
        whole = whole.unfold(dimension, block, 1).all(-1)
    union = torch.zeros_like(mask)
    for offsets in itertools.product(*(range(block) for block in blocks)):
        part = union
        for dimension, offset in enumerate(offsets, start=2):
            part = part.narrow(dimension, offset, whole.shape[dimension])
        part |= whole
    return union


class TestMasks:
    @every_case
    def test_a_dropped_region_is_a_union_of_whole_blocks(
        self, sides: tuple[int, ...], size: int
    ) -> None:
        mask = dropped(unit(0.2, size, sides), 40, 5, *sides)
        assert bool(mask.any())
        assert not bool(mask.all())
        assert torch.equal(mask, union_of_whole_blocks(mask, size))

    @every_case
    def test_every_value_is_dropped_as_often_as_seeds_cover_it(
        self, sides: tuple[int, ...], size: int
    ) -> None:
        count = 4000
        seen = dropped(unit(0.2, size, sides), count // 8, 8, *sides).double().mean((0, 1))
        expected = expected_fractions(0.2, sides, size)
        error = (expected * (1 - expected) / count).sqrt()
        assert bool(((seen - expected).abs() <= 5 * error).all())

    def test_the_papers_map_loses_a_little_less_than_drop_prob(self) -> None:
        expected = float(expected_fractions(0.1, (14, 14), 7).mean())
        assert expected == pytest.approx(0.0929, abs=5e-5)
        shares = dropped(DropBlock2d(0.1, 7), 250, 32, 14, 14).double().mean((2, 3)).flatten()
        assert abs(shares.mean() - expected) <= 5 * shares.std() / len(shares) ** 0.5

    @pytest.mark.parametrize("size", [2, 3])
    def test_each_mask_comes_as_often_as_its_seeds(self, size: int) -> None:
        # A 4x3 map has 6 places for k = 2 and 2 for k = 3: all sets of seeds can be gone through.
        sides, count = (4, 3), 20_000
        chance = gamma(0.4, sides, size)
        corners = [*itertools.product(*(range(side - size + 1) for side in sides))]
        expected: dict[tuple[bool, ...], float] = {}
        for seeds in itertools.product((False, True), repeat=len(corners)):
            mask = torch.zeros(sides, dtype=torch.bool)
            for row, column in itertools.compress(corners, seeds):
                mask[row : row + size, column : column + size] = True
            weight = math.prod(chance if seed else 1 - chance for seed in seeds)
            key = tuple(mask.flatten().tolist())
            expected[key] = expected.get(key, 0.0) + weight
        rows = dropped(DropBlock2d(0.4, size), count, 1, *sides).flatten(1).tolist()
        seen = [tuple(row) for row in rows]
        assert set(seen) <= set(expected)
        for mask_values, probability in expected.items():
            error = (probability * (1 - probability) / count) ** 0.5
            assert abs(seen.count(mask_values) / count - probability) <= 5 * error

    @pytest.mark.parametrize("share_channels", [False, True])
    def test_samples_differ_and_channels_if_they_do_not_share(self, share_channels: bool) -> None:
        mask = dropped(DropBlock2d(0.3, 3, share_channels), 16, 12, 9, 9)
        assert not torch.equal(mask[:1].expand_as(mask), mask)
        assert torch.equal(mask[:, :1].expand_as(mask), mask) == share_channels
        expected = float(expected_fractions(0.3, (9, 9), 3).mean())
        shares = mask[:, 0].double().mean((1, 2))
        assert abs(shares.mean() - expected) <= 5 * shares.std() / 16**0.5

    def test_masks_are_reproducible_from_the_seed(self) -> None:
        masks = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            masks.append(dropped(DropBlock2d(0.3, 3), 4, 4, 9, 9))
        assert torch.equal(masks[0], masks[1])
        assert not torch.equal(masks[0], masks[2])


class TestValues:
    @pytest.mark.parametrize("share_channels", [False, True])
    @every_case
    def test_the_rest_is_scaled_so_that_the_sum_of_ones_stays(
        self, sides: tuple[int, ...], size: int, share_channels: bool
    ) -> None:
        x = torch.randn(32, 5, *sides).abs() + 0.1
        module = unit(0.2, size, sides, share_channels=share_channels)
        torch.manual_seed(3)
        output = module(x)
        torch.manual_seed(3)
        ones = module(torch.ones_like(x))
        kept = output != 0
        assert torch.equal(kept, ones != 0)
        assert float(ones.double().sum()) == pytest.approx(x.numel(), rel=1e-6)
        torch.testing.assert_close(output, x * kept * (x.numel() / kept.double().sum()).float())

    @every_case
    def test_the_gradient_is_that_of_the_output(self, sides: tuple[int, ...], size: int) -> None:
        x = torch.randn(8, 5, *sides, requires_grad=True)
        output = unit(0.2, size, sides)(x)
        gradient = torch.randn_like(output)
        output.backward(gradient)
        scale = x.numel() / float((output != 0).sum())
        torch.testing.assert_close(x.grad, gradient * (output != 0) * scale)

    @every_case
    def test_drop_prob_zero_leaves_every_value_as_it_is(
        self, sides: tuple[int, ...], size: int
    ) -> None:
        x = torch.randn(3, 4, *sides)
        x.view(-1)[:4] = torch.tensor([float("nan"), float("inf"), -0.0, 3e38])
        output = unit(0.0, size, sides)(x)
        assert torch.equal(output.view(torch.int32), x.view(torch.int32))

    @every_case
    def test_evaluation_returns_the_input_itself(self, sides: tuple[int, ...], size: int) -> None:
        x = torch.randn(2, 3, *sides)
        before = torch.get_rng_state()
        assert unit(0.2, size, sides).eval()(x) is x
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    @pytest.mark.parametrize("value", [1.0, float("inf"), float("nan")])
    @pytest.mark.parametrize("size", [1, 7])
    def test_everything_dropped_is_zero_and_not_nan(
        self, dtype: torch.dtype, value: float, size: int
    ) -> None:
        # 100,352 values: in fp16 their number is infinite.
        x = torch.full((16, 128, 7, 7), value, dtype=dtype, requires_grad=True)
        output = DropBlock2d(1.0, size)(x)
        output.sum().backward()
        assert torch.equal(output, torch.zeros_like(output))
        assert x.grad is not None
        assert torch.equal(x.grad, torch.zeros_like(output))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_counts_the_mask_exactly(self, dtype: torch.dtype) -> None:
        # 131,072 values, about 120,000 of them kept. Summed in fp16 that is infinite, and the
        # scale 0: torchvision's drop_block2d (0.29) returns zeros here.
        x = torch.ones(2, 64, 32, 32, dtype=dtype)
        output = DropBlock2d(0.1, 7)(x)
        kept = output != 0
        scale = torch.tensor(x.numel() / int(kept.sum())).to(dtype)
        assert torch.equal(output[kept], scale.expand_as(output[kept]))

    def test_one_value_left_of_many_stays_finite_in_half_precision(self) -> None:
        # Its scale would be 90,000, which is infinite in fp16, and a ReLU's zeros then NaN.
        unit = DropBlock2d(1 - 1e-5, 1)
        x = torch.zeros(1, 1, 300, 300, dtype=torch.float16, requires_grad=True)
        left = set()
        for _ in range(20):
            output = unit(x)
            (gradient,) = torch.autograd.grad(output, x, torch.ones_like(output))
            assert torch.equal(output, x)
            assert bool(gradient.isfinite().all())
            left.add(int(gradient.count_nonzero()))
        assert 1 in left


@pytest.mark.parametrize(
    ("drop_prob", "block_size", "message"),
    [
        (1.5, 7, r"drop_prob is a probability, in \[0, 1\] \(got 1.5\)"),
        (float("nan"), 7, "drop_prob is a probability"),
        (0.1, 0, r"block_size is the side of a block, at least 1 \(got 0\)"),
    ],
)
def test_wrong_arguments_are_named(drop_prob: float, block_size: int, message: str) -> None:
    for kind in (DropBlock2d, DropBlock3d):
        with pytest.raises(ValueError, match=message):
            kind(drop_prob, block_size)


@pytest.mark.parametrize("training", [True, False])
def test_maps_of_other_dimensions_are_refused(training: bool) -> None:
    with pytest.raises(ValueError, match=r"DropBlock2d takes maps of 4 dimensions.*\(2, 3, 4\)"):
        DropBlock2d(0.1, 7).train(training)(torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match=r"DropBlock3d takes maps of 5 dimensions"):
        DropBlock3d(0.1, 7).train(training)(torch.ones(2, 3, 4, 4))


@pytest.mark.parametrize("size", [3, 7])
def test_odd_blocks_are_those_of_a_max_pooling_dilation(size: int) -> None:
    # The paper's algorithm 1 in other words: seeds in the middle, dilated by pooling.
    torch.manual_seed(9)
    mask = dropped(DropBlock2d(0.1, size), 8, 16, 14, 14)
    torch.manual_seed(9)
    seeds = torch.rand(8, 16, 15 - size, 15 - size) < gamma(0.1, (14, 14), size)
    centred = F.pad(seeds.float(), [size // 2] * 4)
    assert torch.equal(mask, F.max_pool2d(centred, size, stride=1, padding=size // 2) > 0)
