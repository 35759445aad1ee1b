"""The table of networks."""

import pytest

from service.config.model import ResNetConfig
from service.models import catalogue, network_name
from service.models.catalogue import Entry, entries


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
    ],
)
def test_names(fields: dict[str, object], name: str) -> None:
    assert network_name(ResNetConfig.model_validate(fields)) == name


def test_every_depth_and_order_is_listed(by_name: dict[str, Entry]) -> None:
    assert set(by_name) == {
        pattern.format(depth)
        for pattern in ("resnet{}", "resnet{}_erase_relu", "preresnet{}")
        for depth in (18, 34, 50, 101, 152, 200)
    }


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [  # multiply-adds as torchvision publishes them, in units of 10⁹
        ("resnet18", 11_689_512, 1.814),
        ("resnet34", 21_797_672, 3.664),
        ("resnet50", 25_557_032, 4.089),
        ("resnet101", 44_549_160, 7.801),
        ("resnet152", 60_192_808, 11.514),
        ("preresnet50", 25_549_480, 4.089),
    ],
)
def test_published_sizes(
    by_name: dict[str, Entry], name: str, parameters: int, multiply_adds: float
) -> None:
    entry = by_name[name]
    assert entry.parameters == parameters
    assert entry.multiply_adds / 1e9 == pytest.approx(multiply_adds, abs=0.0015)
    assert entry.input_size == 224
    assert entry.regularizers == ("none", "shakedrop")


def test_table_has_a_line_for_each_network(
    by_name: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Counting takes seconds, and the other tests here have counted already.
    monkeypatch.setattr(catalogue, "entries", lambda: list(by_name.values()))
    lines = catalogue.table().splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(by_name)
    assert "25,557,032" in lines[3]
    assert "4.09 G" in lines[3]
