"""Every regulariser in every family: it trains, or it is refused with the reason."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from service.config.errors import ConfigurationError
from service.config.model import ModelConfig
from service.models import ResidualNetwork, build_network, resolved
from service.regularization import DropBlock2d, RandomDrop, ShakeDrop, ShakeShake

Tiny = Callable[..., ModelConfig]
Describe = Callable[..., ModelConfig]

REGULARIZERS: dict[str, dict[str, object]] = {
    "none": {"kind": "none"},
    "shakedrop": {"kind": "shakedrop"},
    "shakedrop_b": {"kind": "shakedrop", "placement": "branch", "level": "channel"},
    "random_drop": {"kind": "random_drop"},
    "drop_block": {"kind": "drop_block", "drop_prob": 0.3, "block_size": 3},
    "shake_shake": {"kind": "shake_shake"},
    "shake_keep": {"kind": "shake_shake", "backward": "keep", "level": "batch"},
}
ONE_BRANCH = "shake_shake mixes two residual branches and .* has one; choose model.kind=shake_res"
every_regularizer = pytest.mark.parametrize("regularizer", REGULARIZERS)


def step(network: ResidualNetwork) -> list[Tensor | None]:
    """The gradients of one training step on random pictures."""
    loss = F.cross_entropy(network(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 0]))
    torch.autograd.backward(loss)
    return [parameter.grad for parameter in network.parameters()]


@every_regularizer
def test_every_pair_trains_or_is_refused(family: str, tiny: Tiny, regularizer: str) -> None:
    config = tiny(family, regularizer=REGULARIZERS[regularizer])
    mixes, branches = regularizer.startswith("shake_"), family in ("two_branches", "shake_resnet")
    if mixes and not branches:
        with pytest.raises(ConfigurationError, match=f"^model.regularizer.kind: {ONE_BRANCH}"):
            build_network(config, classes=3)
        return
    network = build_network(config, classes=3)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    gradients = step(network)
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    moved = [
        not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)
    ]
    # RandomDrop and DropBlock may leave out a whole branch; the others move every weight.
    if regularizer not in ("random_drop", "drop_block"):
        assert all(moved)
    assert moved[-1]
    assert bool(network.eval()(torch.randn(2, 3, 32, 32)).isfinite().all())


UNITS = {
    "shakedrop": ShakeDrop,
    "shakedrop_b": ShakeDrop,
    "random_drop": RandomDrop,
    "shake_shake": ShakeShake,
}


@pytest.mark.parametrize("regularizer", UNITS)
def test_every_block_has_its_units(family: str, tiny: Tiny, regularizer: str) -> None:
    branches = 2 if family in ("two_branches", "shake_resnet") else 1
    if regularizer == "shake_shake" and branches == 1:
        return
    network = build_network(tiny(family, regularizer=REGULARIZERS[regularizer]), classes=3)
    for block in network.blocks:
        units = [unit for unit in block.modules() if isinstance(unit, UNITS[regularizer])]
        assert len(units) == (branches if regularizer == "shakedrop_b" else 1)


def test_open_ends_of_alpha_follow_the_family(family: str, tiny: Tiny) -> None:
    keeps_relu = family in ("resnet", "cifar_resnet", "cifar_resnext", "two_branches")
    network = build_network(tiny(family), classes=3)
    found = {tuple(u.alpha.tolist()) for u in network.modules() if isinstance(u, ShakeDrop)}
    assert found == {(0.0, 0.0) if keeps_relu else (-1.0, 1.0)}


def test_a_branch_that_shakedrop_disturbs_ends_with_normalisation(family: str, tiny: Tiny) -> None:
    network = build_network(tiny(family), classes=3)
    for block in network.blocks:
        assert len(block.last_norms) == len(block.branch_names)


class TestDropBlock:
    @pytest.mark.parametrize(
        ("fields", "layers"),
        [
            (
                {"depth": 50, "order": "post_activation"},
                "conv1 bn1 relu1 drop_block1 conv2 bn2 relu2 drop_block2 conv3 bn3",
            ),
            (
                {"depth": 50, "order": "pre_activation"},
                "bn1 relu1 conv1 bn2 relu2 drop_block2 conv2 bn3 relu3 drop_block3 conv3",
            ),
            ({"depth": 18}, "conv1 bn1 relu1 drop_block1 conv2 bn2"),
            (
                {"kind": "cifar_pyramidnet", "depth": 8, "alpha": 7},
                "bn1 conv1 bn2 relu2 drop_block2 conv2 bn3",
            ),
        ],
    )
    def test_units_follow_the_relus_inside_a_branch(
        self, describe_model: Describe, fields: dict[str, object], layers: str
    ) -> None:
        with torch.device("meta"):
            network = build_network(
                describe_model(regularizer={"kind": "drop_block"}, **fields), classes=2
            )
        block = network.blocks[-1]
        assert " ".join([*block.entry_names, *block.branch_names[0]]) == layers
        units = [m for m in block.modules() if isinstance(m, DropBlock2d)]
        assert len(units) == layers.count("drop_block") + 2  # the shortcut and the branch's end

    @pytest.mark.parametrize("stages", [1, 2, 3, 4])
    def test_the_last_stages_have_units(self, describe_model: Describe, stages: int) -> None:
        drop = {"kind": "drop_block", "drop_prob": 0.2, "stages": stages, "earlier_factor": 0.5}
        network = build_network(describe_model(depth=50, width=4, regularizer=drop), classes=2)
        found = [
            [
                [float(unit.drop_prob) for unit in block.modules() if isinstance(unit, DropBlock2d)]
                for block in stage
            ]
            for stage in network.stages
        ]
        strengths = [0.1] * (stages - 1) + [0.2]
        expected = [
            [[pytest.approx(strength)] * 4] * len(stage)
            for strength, stage in zip(strengths, network.stages[-stages:], strict=True)
        ]
        assert found[-stages:] == expected
        assert all(not units for stage in found[: 4 - stages] for units in stage)

    @pytest.mark.parametrize("place", ["drop_block1", "drop_block2", "merge.on_shortcut", "branch"])
    @pytest.mark.parametrize("index", [0, 1])
    def test_each_place_drops_what_it_should(
        self, describe_model: Describe, place: str, index: int
    ) -> None:
        drop = {"kind": "drop_block", "drop_prob": 0.0, "block_size": 64}
        config = describe_model(depth=50, width=4, stem="small", regularizer=drop)
        block: Any = build_network(config, classes=2).eval().stages[-1][index]
        name = "merge.on_branches.units.0" if place == "branch" else place
        unit = block.get_submodule(name)
        unit.drop_prob.fill_(1.0)  # of maps no larger than a block nothing is left
        unit.train()

        def dropped(here: str, values: Tensor) -> Tensor:
            return torch.zeros_like(values) if here == place else values

        x = torch.randn(2, block.conv1.in_channels, 8, 8)
        shortcut = x if block.downsample is None else block.downsample(x)
        inner = dropped("drop_block1", F.relu(block.bn1(block.conv1(x))))
        inner = dropped("drop_block2", F.relu(block.bn2(block.conv2(inner))))
        branch = dropped("branch", block.bn3(block.conv3(inner)))
        expected = dropped("merge.on_shortcut", shortcut) + branch
        torch.testing.assert_close(block(x), expected)

    def test_more_stages_than_there_are_is_an_error(self, tiny: Tiny) -> None:
        config = tiny("wide_resnet", regularizer={"kind": "drop_block", "stages": 4})
        message = "^model.regularizer.stages: 4 exceeds the 3 stages of wrn10_1$"
        with pytest.raises(ConfigurationError, match=message):
            resolved(config)
