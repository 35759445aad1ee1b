"""Parameters of the networks, to the unit: published, other libraries', and counted by hand."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from math import floor

import pytest
import timm
import torch
from torch import nn

from service.config.model import ModelConfig
from service.models import build_network, network_name

Describe = Callable[..., ModelConfig]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture
def count(describe_model: Describe) -> Callable[..., int]:
    """The parameters of a network without a regulariser, unless the fields name one."""

    def counted(classes: int, **fields: object) -> int:
        plain = {"regularizer": {"kind": "none"}, **fields}
        with torch.device("meta"):
            return parameters(build_network(describe_model(**plain), classes))

    return counted


@pytest.mark.parametrize(
    ("classes", "expected", "fields"),
    [
        (1000, 62_368_168, {"kind": "pyramidnet", "depth": 200, "alpha": 300}),
        (10, 28_485_477, {"kind": "cifar_pyramidnet", "depth": 110, "alpha": 270}),
        (10, 1_730_522, {"kind": "cifar_resnet", "depth": 110}),
        (10, 1_703_258, {"kind": "cifar_resnet", "depth": 164, "block": "bottleneck"}),
        (10, 36_479_194, {"kind": "cifar_wide_resnet", "depth": 28, "widening_factor": 10}),
        (10, 34_426_698, {"kind": "cifar_resnext", "cardinality": 8, "group_width": 64}),
        (10, 2_923_162, {"kind": "shake_resnet", "width": 32}),
        (10, 11_653_978, {"kind": "shake_resnet", "width": 64}),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_known_counts(
    count: Callable[..., int], classes: int, expected: int, fields: dict[str, object]
) -> None:
    assert count(classes, **fields) == expected


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("resnet200", {"depth": 200}),
        ("resnext50_32x4d", {"depth": 50, "cardinality": 32, "group_width": 4}),
        ("resnext101_32x4d", {"depth": 101, "cardinality": 32, "group_width": 4}),
        ("resnext101_32x8d", {"depth": 101, "cardinality": 32, "group_width": 8}),
        ("resnext101_64x4d", {"depth": 101, "cardinality": 64, "group_width": 4}),
        ("wide_resnet50_2", {"depth": 50, "group_width": 128}),
        ("wide_resnet101_2", {"depth": 101, "group_width": 128}),
    ],
)
@pytest.mark.parametrize("order", ["post_activation", "erase_relu"])
def test_timm_counts_the_same(
    count: Callable[..., int],
    describe_model: Describe,
    order: str,
    name: str,
    fields: dict[str, object],
) -> None:
    with torch.device("meta"):
        expected = parameters(timm.create_model(name))
    assert count(1000, order=order, **fields) == expected
    suffix = "_erase_relu" if order == "erase_relu" else ""
    assert network_name(describe_model(order=order, **fields)) == name + suffix


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_pre_activation_is_timms_with_a_normalised_stem(
    count: Callable[..., int], depth: int
) -> None:
    with torch.device("meta"):
        expected = parameters(timm.create_model(f"resnetv2_{depth}"))
    assert count(1000, depth=depth, order="pre_activation") == expected + 2 * 64


def norm(channels: int) -> int:
    return 2 * channels


def pyramid_widths(start: int, alpha: int, blocks: int) -> list[int]:
    """round-half-up(start + kα/N) of each block k, in exact fractions."""
    exact = [start + Fraction(k * alpha, blocks) for k in range(1, blocks + 1)]
    return [floor(width + Fraction(1, 2)) for width in exact]


def pyramid_count(start: int, stem: int, widths: Sequence[int], bottleneck: bool) -> int:
    """Parameters of a PyramidNet for 10 classes, layer by layer."""
    total, inputs = stem, start
    for width in widths:
        total += norm(inputs)
        if bottleneck:
            total += inputs * width + norm(width) + 9 * width * width + norm(width)
            total += width * 4 * width + norm(4 * width)
            inputs = 4 * width
        else:
            total += 9 * inputs * width + norm(width) + 9 * width * width + norm(width)
            inputs = width
    return total + norm(inputs) + 10 * inputs + 10


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize(("blocks", "alpha"), [(2, 1), (4, 9), (6, 48), (9, 83)])
def test_pyramids_of_any_form(
    count: Callable[..., int], bottleneck: bool, blocks: int, alpha: int
) -> None:
    found = count(
        10,
        kind="cifar_pyramidnet",
        depth=(9 if bottleneck else 6) * blocks + 2,
        block="bottleneck" if bottleneck else "basic",
        alpha=alpha,
    )
    widths = pyramid_widths(16, alpha, 3 * blocks)
    assert found == pyramid_count(16, 27 * 16 + norm(16), widths, bottleneck)


@pytest.mark.parametrize(
    ("depth", "blocks", "bottleneck"), [(18, 8, False), (50, 16, True), (152, 50, True)]
)
def test_large_pyramids(
    count: Callable[..., int], depth: int, blocks: int, bottleneck: bool
) -> None:
    found = count(10, kind="pyramidnet", depth=depth, alpha=77)
    stem = 3 * 49 * 64 + norm(64)
    assert found == pyramid_count(64, stem, pyramid_widths(64, 77, blocks), bottleneck)


def test_halves_of_a_channel_are_rounded_up(describe_model: Describe) -> None:
    # 16 + k·9/6 is 17.5, 19, 20.5, 22, 23.5, 25. Rounding halves to even would give 18, 19, 20.
    with torch.device("meta"):
        network = build_network(
            describe_model(kind="cifar_pyramidnet", depth=14, alpha=9), classes=10
        )
    outputs = [block.last_norms[0].num_features for block in network.blocks]
    assert outputs == [18, 19, 21, 22, 24, 25]


def basic(inputs: int, width: int) -> int:
    """Parameters of a pre-activation basic block, with its 1x1 projection if it needs one."""
    projection = 0 if inputs == width else inputs * width
    return norm(inputs) + 9 * inputs * width + norm(width) + 9 * width * width + projection


@pytest.mark.parametrize(("depth", "k"), [(10, 1), (16, 8), (22, 3), (40, 4)])
def test_wide_resnets_of_any_form(count: Callable[..., int], depth: int, k: int) -> None:
    blocks = (depth - 4) // 6
    widths = [16] + [16 * k * 2**stage for stage in range(3) for _ in range(blocks)]
    expected = 27 * 16 + sum(basic(*pair) for pair in pairwise(widths))
    expected += norm(64 * k) + 640 * k + 10
    assert count(10, kind="cifar_wide_resnet", depth=depth, widening_factor=k) == expected


@pytest.mark.parametrize("branches", [1, 2])
def test_resnext_for_small_pictures(count: Callable[..., int], branches: int) -> None:
    # 29 2x4x64d of Shake-Shake for CIFAR-100 with two branches.
    total, inputs = 27 * 64 + norm(64), 64
    for stage in range(3):
        inner, outputs = 4 * 64 * 2**stage, 256 * 2**stage
        for _ in range(3):
            branch = inputs * inner + norm(inner) + 9 * inner * (inner // 4) + norm(inner)
            total += branches * (branch + inner * outputs + norm(outputs))
            if inputs != outputs:
                total += inputs * outputs + norm(outputs)
            inputs = outputs
    fields = {"kind": "cifar_resnext", "cardinality": 4, "branches": branches}
    assert count(100, **fields) == total + 1024 * 100 + 100


@pytest.mark.parametrize(
    ("fields", "ends"),
    [
        ({"kind": "cifar_wide_resnet", "depth": 16, "widening_factor": 2}, 2 * (32 + 64 + 128)),
        ({"kind": "cifar_resnet", "depth": 20}, 3 * (16 + 32 + 64)),
        ({"kind": "cifar_resnet", "depth": 11, "block": "bottleneck"}, 64 + 128 + 256),
    ],
)
def test_only_shakedrop_adds_a_last_normalisation_to_pre_activation(
    count: Callable[..., int], fields: dict[str, object], ends: int
) -> None:
    plain = count(10, **fields)
    for kind in ("random_drop", "drop_block"):
        assert count(10, **fields, regularizer={"kind": kind}) == plain
    assert count(10, **fields, regularizer={"kind": "shakedrop"}) == plain + norm(ends)


@pytest.mark.parametrize("kind", ["shakedrop", "random_drop", "drop_block", "shake_shake"])
def test_no_regulariser_has_weights_where_branches_end_with_normalisation(
    describe_model: Describe, kind: str
) -> None:
    fields: dict[str, object] = {"kind": "shake_resnet", "width": 8}
    plain, regularised = (
        build_network(describe_model(**fields, regularizer={"kind": name}), classes=10)
        for name in ("none", kind)
    )
    assert list(plain.state_dict()) == list(regularised.state_dict())
