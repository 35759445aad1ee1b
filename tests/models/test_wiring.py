"""Blocks of the families against their formulas, written out, in evaluation."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.config.model import ModelConfig
from service.models import ResidualNetwork, build_network

Describe = Callable[..., ModelConfig]
Tiny = Callable[..., ModelConfig]


def trained(network: ResidualNetwork) -> ResidualNetwork:
    """The network, evaluating, with normalisation that is not at its trivial start."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            module.running_mean = torch.randn_like(module.bias)
    return network.eval()


def block_of(config: ModelConfig, index: int) -> Any:  # noqa: ANN401  layers by name
    return trained(build_network(config, classes=2)).stages[1][index]


PLAIN = {"kind": "none"}


def test_a_pyramid_pads_its_pooled_shortcut(describe_model: Describe) -> None:
    config = describe_model(kind="cifar_pyramidnet", depth=14, alpha=9, regularizer=PLAIN)
    b = block_of(config, 0)
    x = torch.randn(2, 19, 8, 8)
    branch = b.bn3(b.conv2(F.relu(b.bn2(b.conv1(b.bn1(x))))))
    expected = branch.clone()
    expected[:, :19] += F.avg_pool2d(x, 2)
    assert branch.shape == (2, 21, 4, 4)
    torch.testing.assert_close(b(x), expected)
    assert not torch.equal(b(x)[:, :19], branch[:, :19])


def test_a_shake_block_moves_half_its_shortcut_one_pixel(tiny: Tiny) -> None:
    b = block_of(tiny("shake_resnet", regularizer=PLAIN), 0)
    x = torch.randn(2, 4, 8, 8)
    active = F.relu(x)
    # The authors' second path sees the pixel up and left of the first's, and zeros at the edge.
    moved = torch.zeros_like(active)
    moved[:, :, 1:, 1:] = active[:, :, :-1, :-1]
    paths = [
        F.conv2d(active[:, :, ::2, ::2], b.downsample.conv1.weight),
        F.conv2d(moved[:, :, ::2, ::2], b.downsample.conv2.weight),
    ]
    expected = b.downsample.bn(torch.cat(paths, dim=1))
    for branch in (b.branch1, b.branch2):
        expected = expected + branch.bn2(branch.conv2(F.relu(branch.bn1(branch.conv1(active)))))
    torch.testing.assert_close(b(x), expected)


def test_a_shake_blocks_identity_is_its_raw_input(describe_model: Describe) -> None:
    config = describe_model(kind="shake_resnet", depth=14, width=4, regularizer=PLAIN)
    b = block_of(config, 1)
    x = torch.randn(2, 8, 8, 8)
    expected, before = x.clone(), x.clone()
    for branch in (b.branch1, b.branch2):
        expected = expected + branch.bn2(branch.conv2(F.relu(branch.bn1(branch.conv1(F.relu(x))))))
    torch.testing.assert_close(b(x), expected)
    assert torch.equal(x, before)


@pytest.mark.parametrize("order", ["post_activation", "erase_relu"])
def test_two_branches_are_added(tiny: Tiny, order: str) -> None:
    b = block_of(tiny("two_branches", order=order, regularizer=PLAIN), 0)
    x = torch.randn(2, 16, 8, 8)
    total: Tensor = b.downsample(x)
    for branch in (b.branch1, b.branch2):
        inner = F.relu(branch.bn2(branch.conv2(F.relu(branch.bn1(branch.conv1(x))))))
        total = total + branch.bn3(branch.conv3(inner))
    torch.testing.assert_close(b(x), F.relu(total) if order == "post_activation" else total)


def test_groups_do_not_see_each_other(tiny: Tiny) -> None:
    b = block_of(tiny("cifar_resnext", regularizer=PLAIN), 0)
    x = torch.randn(1, b.conv2.in_channels, 8, 8)
    other = x.clone()
    other[:, x.shape[1] // 2 :] += 1
    changed = (b.conv2(x) != b.conv2(other)).flatten(2).any(dim=2).squeeze(0)
    assert changed.tolist() == [False] * (len(changed) // 2) + [True] * (len(changed) // 2)
