"""The tables of networks and of regularisers."""

from collections.abc import Callable

import pytest

from service.config.model import ModelConfig
from service.models import catalogue, network_name
from service.models.catalogue import Entry, entries
from service.models.regularizer_catalogue import regularizer_entries, regularizer_table

Describe = Callable[..., ModelConfig]

ONE_BRANCH = ("none", "shakedrop", "random_drop", "drop_block")
TWO_BRANCHES = ("none", "shakedrop", "random_drop", "shake_shake", "drop_block")


@pytest.fixture(scope="module")
def by_name() -> dict[str, Entry]:
    return {entry.name: entry for entry in entries()}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"depth": 50, "order": "post_activation"}, "resnet50"),
        ({"depth": 50}, "resnet50_erase_relu"),
        ({"depth": 200, "order": "pre_activation"}, "preresnet200"),
        ({"depth": 18, "width": 16}, "resnet18_erase_relu_w16"),
        (
            {"depth": 18, "order": "pre_activation", "width": 16, "stem": "small"},
            "preresnet18_w16_small",
        ),
        ({"cardinality": 32, "group_width": 4}, "resnext50_32x4d_erase_relu"),
        ({"depth": 101, "group_width": 96}, "wide_resnet101_1.5_erase_relu"),
        ({"kind": "pyramidnet", "depth": 152, "alpha": 450}, "pyramidnet152_a450"),
        ({"kind": "cifar_pyramidnet"}, "cifar_pyramidnet110_a270"),
        (
            {"kind": "cifar_pyramidnet", "block": "bottleneck", "depth": 272, "alpha": 200},
            "cifar_pyramidnet272_bottleneck_a200",
        ),
        ({"kind": "cifar_resnet"}, "cifar_preresnet110"),
        (
            {"kind": "cifar_resnet", "depth": 20, "order": "post_activation", "width": 8},
            "cifar_resnet20_w8",
        ),
        ({"kind": "cifar_wide_resnet", "depth": 16, "widening_factor": 8}, "wrn16_8"),
        ({"kind": "cifar_resnext"}, "cifar_resnext29_8x64d"),
        (
            {"kind": "cifar_resnext", "branches": 2, "cardinality": 4, "order": "erase_relu"},
            "cifar_resnext29_2x4x64d_erase_relu",
        ),
        ({"kind": "shake_resnet", "width": 96}, "shake_resnet26_2x96d"),
    ],
)
def test_names(describe_model: Describe, fields: dict[str, object], name: str) -> None:
    assert network_name(describe_model(**fields)) == name


def test_every_network_of_the_field_is_listed(by_name: dict[str, Entry]) -> None:
    resnets = {
        pattern.format(depth)
        for pattern in ("resnet{}", "resnet{}_erase_relu", "preresnet{}")
        for depth in (18, 34, 50, 101, 152, 200)
    }
    grouped = {
        f"{name}{suffix}"
        for name in (
            *("resnext50_32x4d", "resnext101_32x4d", "resnext152_32x4d", "resnext101_64x4d"),
            *("resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"),
        )
        for suffix in ("", "_erase_relu")
    }
    others = {
        *("pyramidnet152_a300", "pyramidnet200_a300", "cifar_pyramidnet110_a270"),
        *("cifar_pyramidnet200_bottleneck_a240", "cifar_pyramidnet272_bottleneck_a200"),
        *("cifar_preresnet110", "cifar_preresnet164_bottleneck", "cifar_resnet20", "wrn28_10"),
        *("cifar_resnext29_8x64d", "cifar_resnext29_2x4x64d"),
        *("shake_resnet26_2x32d", "shake_resnet26_2x64d", "shake_resnet26_2x96d"),
    }
    assert resnets | grouped | others <= set(by_name)
    assert len(by_name) == len(catalogue.networks())  # no two of one name


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [  # multiply-adds as torchvision publishes them, in units of 10⁹
        ("resnet18", 11_689_512, 1.814),
        ("resnet34", 21_797_672, 3.664),
        ("resnet50", 25_557_032, 4.089),
        ("resnet101", 44_549_160, 7.801),
        ("resnet152", 60_192_808, 11.514),
        ("preresnet50", 25_549_480, 4.089),
        ("resnext50_32x4d", 25_028_904, 4.230),
        ("resnext101_32x8d", 88_791_336, 16.414),
        ("resnext101_64x4d", 83_455_272, 15.460),
        ("wide_resnet50_2", 68_883_240, 11.398),
        ("wide_resnet101_2", 126_886_696, 22.753),
    ],
)
def test_published_sizes(
    by_name: dict[str, Entry], name: str, parameters: int, multiply_adds: float
) -> None:
    entry = by_name[name]
    assert entry.parameters == parameters
    assert entry.multiply_adds / 1e9 == pytest.approx(multiply_adds, abs=0.0015)
    assert (entry.input_size, entry.regularizers) == (224, ONE_BRANCH)


@pytest.mark.parametrize(
    ("name", "parameters", "regularizers"),
    [
        ("wrn28_10", 36_479_194, ONE_BRANCH),
        ("cifar_pyramidnet110_a270", 28_485_477, ONE_BRANCH),
        ("cifar_resnext29_8x64d", 34_426_698, ONE_BRANCH),
        ("shake_resnet26_2x32d", 2_923_162, TWO_BRANCHES),
        ("cifar_resnext29_2x4x64d", 34_437_450, TWO_BRANCHES),
    ],
)
def test_networks_for_small_pictures(
    by_name: dict[str, Entry], name: str, parameters: int, regularizers: tuple[str, ...]
) -> None:
    entry = by_name[name]
    assert entry.parameters == parameters
    assert (entry.input_size, entry.regularizers) == (32, regularizers)


def test_multiply_adds_count_groups_and_branches(by_name: dict[str, Entry]) -> None:
    # Shake-Shake 26 2x32d by hand: two branches of 3x3 convolutions, shortcuts of two 1x1 halves.
    total, inputs, side = 27 * 16 * 32 * 32, 16, 32
    for stage in range(3):
        width, side = 32 * 2**stage, 32 // 2**stage
        for _ in range(4):
            total += 2 * 9 * (inputs + width) * width * side * side
            total += inputs * width * side * side if inputs != width else 0
            inputs = width
    assert by_name["shake_resnet26_2x32d"].multiply_adds == total + 1280


def test_table_has_a_line_for_each_network(
    by_name: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Counting takes seconds, and the other tests here have counted already.
    monkeypatch.setattr(catalogue, "entries", lambda: list(by_name.values()))
    lines = catalogue.table().splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(by_name)
    assert "25,557,032" in lines[3]
    assert "4.09 G" in lines[3]


class TestRegularizers:
    def test_strengths_and_levels_are_the_configurations(self) -> None:
        shakedrop = next(e for e in regularizer_entries() if e.kind == "shakedrop")
        assert shakedrop.strengths == {
            "p_l": "0.5",
            "alpha.low": "null",
            "alpha.high": "null",
            "beta.low": "0",
            "beta.high": "1",
        }
        assert shakedrop.choices == {
            "level": ("pixel", "batch or image or channel or pixel"),
            "gate": ("batch", "batch or sample"),
            "placement": ("sum", "sum or branch"),
        }

    def test_networks_are_those_of_the_catalogue(self, by_name: dict[str, Entry]) -> None:
        for entry in regularizer_entries():
            assert entry.networks == tuple(
                name for name, network in by_name.items() if entry.kind in network.regularizers
            )

    def test_the_table_names_each_with_its_networks(self) -> None:
        lines = regularizer_table().splitlines()
        heads = [line.split(":")[0] for line in lines[:-1] if not line.startswith(" ")]
        assert heads == list(TWO_BRANCHES)
        assert lines.count("  networks   all") == 4
        assert "  strengths  p_l=0.5" in lines
