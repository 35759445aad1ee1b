"""ResNets of the three orders: sizes, wiring, filled-in strengths."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.config.errors import ConfigurationError
from service.config.model import ResNetConfig
from service.config.regularizer import (
    AlphaRange,
    PlainSumConfig,
    RegularizerConfig,
    ShakeDropConfig,
)
from service.models import ResidualNetwork, build_network, resolved
from service.regularization import ShakeDrop

Small = Callable[..., ResNetConfig]

NONE = PlainSumConfig()
SHAKEDROP = ShakeDropConfig()
ORDERS = ["post_activation", "erase_relu", "pre_activation"]
every_order = pytest.mark.parametrize("order", ORDERS)
every_merge = pytest.mark.parametrize("regularizer", [NONE, SHAKEDROP], ids=lambda c: c.kind)


def trained_block(network: ResNetConfig, index: int) -> Any:  # noqa: ANN401  layers by name
    """A block of the second stage whose normalisation is not at its trivial start, evaluating."""
    block = build_network(network, classes=2).get_submodule(f"layer2.{index}").eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
    return block


def units(network: ResidualNetwork) -> list[ShakeDrop]:
    return [module for module in network.modules() if isinstance(module, ShakeDrop)]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


class TestSizes:
    @pytest.mark.parametrize(
        ("depth", "order", "expected"),
        [
            (18, "post_activation", 11_689_512),
            (34, "erase_relu", 21_797_672),
            (50, "post_activation", 25_557_032),
            (50, "erase_relu", 25_557_032),
            (50, "pre_activation", 25_549_480),
            (101, "post_activation", 44_549_160),
            (152, "erase_relu", 60_192_808),
        ],
    )
    def test_parameters(self, depth: int, order: str, expected: int) -> None:
        with torch.device("meta"):
            network = build_network(
                ResNetConfig.model_validate({"depth": depth, "order": order, "regularizer": NONE}),
                classes=1000,
            )
        assert parameters(network) == expected

    @pytest.mark.parametrize(
        ("depth", "blocks"), [(18, 8), (34, 16), (50, 16), (101, 33), (152, 50), (200, 66)]
    )
    def test_blocks(self, small: Small, depth: int, blocks: int) -> None:
        with torch.device("meta"):
            assert len(build_network(small(depth=depth), classes=2).blocks) == blocks

    @pytest.mark.parametrize(("depth", "expansion"), [(18, 1), (50, 4)])
    @pytest.mark.parametrize(("stem", "stride"), [("imagenet", 4), ("small", 1)])
    def test_stages_have_the_stated_channels_and_strides(
        self, small: Small, depth: int, expansion: int, stem: str, stride: int
    ) -> None:
        network = build_network(small(depth=depth, stem=stem, width=8), classes=5)
        assert network.feature_channels == tuple(8 * expansion * n for n in (1, 2, 4, 8))
        maps: list[torch.Size] = []
        for name in network.stage_names:
            network.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output: maps.append(output.shape)
            )
        assert network(torch.randn(2, 3, 64, 64)).shape == (2, 5)
        assert maps == [
            (2, channels, 64 // side, 64 // side)
            for channels, side in zip(
                network.feature_channels, (stride * n for n in (1, 2, 4, 8)), strict=True
            )
        ]


class TestWiring:
    """Each order against its formula, written out, in evaluation."""

    @pytest.mark.parametrize("index", [0, 1])  # layer2.0 has a projection, layer2.1 has none
    @pytest.mark.parametrize("order", ["post_activation", "erase_relu"])
    def test_convolution_first(self, small: Small, order: str, index: int) -> None:
        b = trained_block(small(order=order, regularizer=NONE), index)
        x = torch.randn(2, b.conv1.in_channels, 8, 8)
        shortcut = x if b.downsample is None else b.downsample(x)
        total = shortcut + b.bn2(b.conv2(F.relu(b.bn1(b.conv1(x)))))
        expected = F.relu(total) if order == "post_activation" else total
        assert bool((total < 0).any())
        torch.testing.assert_close(b(x), expected)

    @pytest.mark.parametrize("index", [0, 1])
    @every_merge
    def test_normalisation_first(
        self, small: Small, index: int, regularizer: RegularizerConfig
    ) -> None:
        b = trained_block(small(order="pre_activation", regularizer=regularizer), index)
        x = torch.randn(2, b.conv1.in_channels, 8, 8)
        active = F.relu(b.bn1(x))
        shortcut = x if b.downsample is None else b.downsample(active)
        branch = b.conv2(F.relu(b.bn2(b.conv1(active))))
        if regularizer == SHAKEDROP:
            branch = b.bn3(branch) * b.merge.unit.p  # E[α] is 0
        torch.testing.assert_close(b(x), shortcut + branch)

    def test_pre_activation_ends_with_normalisation_and_relu(self, small: Small) -> None:
        network = build_network(small(order="pre_activation"), classes=2).eval()
        nn.init.normal_(network.get_submodule("last_bn").get_parameter("weight"))
        kept: list[Tensor] = []
        network.layer4.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
        logits = network(torch.randn(2, 3, 16, 16))
        active = F.relu(network.get_submodule("last_bn")(kept[0]))
        torch.testing.assert_close(logits, network.fc(active.mean(dim=(2, 3))))

    @pytest.mark.parametrize("depth", [18, 50])
    def test_only_a_shaken_pre_activation_branch_gets_a_last_normalisation(
        self, small: Small, depth: int
    ) -> None:
        for order in ORDERS:
            plain, shaken = (
                build_network(small(depth=depth, order=order, regularizer=kind), classes=2)
                for kind in (NONE, SHAKEDROP)
            )
            ends = sum(
                count * channels
                for count, channels in zip(
                    (2, 2, 2, 2) if depth == 18 else (3, 4, 6, 3),
                    plain.feature_channels,
                    strict=True,
                )
            )
            added = 2 * ends if order == "pre_activation" else 0  # γ and bias
            assert parameters(shaken) - parameters(plain) == added
            assert all(len(block.last_norms) == 1 for block in shaken.blocks)

    def test_a_layer_that_is_replaced_is_replaced_in_what_runs(self, small: Small) -> None:
        network = build_network(small(), classes=2).eval()
        x = torch.randn(2, 3, 8, 8)
        before = network(x)
        network.blocks[3].bn1 = nn.Identity()
        network.blocks[3].bn1.register_forward_hook(lambda *_: torch.zeros(2, 8, 4, 4))
        assert not torch.equal(network(x), before)


class TestStrengths:
    @pytest.mark.parametrize("depth", [18, 50])
    def test_decay_counts_the_blocks_of_all_stages(self, small: Small, depth: int) -> None:
        network = build_network(
            small(depth=depth, regularizer={"kind": "shakedrop", "p_l": 0.2}), 2
        )
        blocks = len(network.blocks)
        found = [float(unit.p) for unit in units(network)]
        assert found == pytest.approx([1 - (n / blocks) * 0.8 for n in range(1, blocks + 1)])

    @pytest.mark.parametrize(
        ("order", "given", "expected"),
        [
            ("post_activation", {}, (0.0, 0.0)),
            ("erase_relu", {}, (-1.0, 1.0)),
            ("pre_activation", {}, (-1.0, 1.0)),
            ("post_activation", {"low": -0.5}, (-0.5, 0.0)),
            ("post_activation", {"high": 0.5}, (0.0, 0.5)),
            ("erase_relu", {"high": 0.0}, (-1.0, 0.0)),
            ("erase_relu", {"low": 0.25, "high": 0.5}, (0.25, 0.5)),
        ],
    )
    def test_open_ends_of_alpha_follow_the_order(
        self, small: Small, order: str, given: dict[str, float], expected: tuple[float, float]
    ) -> None:
        open_ended = small(order=order, regularizer=ShakeDropConfig(alpha=AlphaRange(**given)))
        full = resolved(open_ended)
        assert isinstance(full.regularizer, ShakeDropConfig)
        assert (full.regularizer.alpha.low, full.regularizer.alpha.high) == expected
        assert resolved(full) == full
        # The rest is as it was, and a network is built from either.
        assert full.model_dump(exclude={"regularizer"}) == open_ended.model_dump(
            exclude={"regularizer"}
        )
        for either in (open_ended, full):
            assert {tuple(u.alpha.tolist()) for u in units(build_network(either, 2))} == {expected}

    def test_without_shakedrop_nothing_is_filled_in(self, small: Small) -> None:
        plain = small(regularizer=NONE)
        assert resolved(plain) == plain

    @pytest.mark.parametrize(
        ("order", "given", "message"),
        [
            ("post_activation", {"low": 0.5}, "low 0.5 exceeds high 0 "),
            ("post_activation", {"high": -0.5}, "low 0 exceeds high -0.5 "),
            ("erase_relu", {"low": 2.0}, "low 2 exceeds high 1 "),
        ],
    )
    def test_an_end_that_does_not_fit_is_named(
        self, small: Small, order: str, given: dict[str, float], message: str
    ) -> None:
        wrong = small(order=order, regularizer=ShakeDropConfig(alpha=AlphaRange(**given)))
        with pytest.raises(ConfigurationError, match=message) as error:
            build_network(wrong, classes=2)
        assert str(error.value).startswith("model.regularizer.alpha: ")
        assert "\n" not in str(error.value)


class TestZeroInit:
    @every_order
    def test_each_block_begins_as_its_shortcut(self, small: Small, order: str) -> None:
        network = build_network(small(order=order, zero_init_last_gamma=True), classes=2)
        block = network.blocks[1]
        x = torch.rand(2, 4, 8, 8)  # not negative, so that a ReLU after the addition keeps it
        assert torch.equal(block(x), x)

    @every_order
    def test_last_gamma_learns_first(self, small: Small, order: str) -> None:
        network = build_network(small(order=order, zero_init_last_gamma=True), classes=2)
        F.cross_entropy(network(torch.randn(4, 3, 16, 16)), torch.tensor([0, 1, 0, 1])).backward()
        for block in network.blocks:
            (last,) = block.last_norms
            assert float(last.bias.grad.abs().max()) > 0
            assert float(block.conv1.weight.grad.abs().max()) == 0

    def test_a_branch_without_a_last_gamma_is_an_error(self, small: Small) -> None:
        wrong = small(order="pre_activation", regularizer=NONE, zero_init_last_gamma=True)
        with pytest.raises(ConfigurationError, match="has no last γ; set it to false"):
            build_network(wrong, classes=2)
