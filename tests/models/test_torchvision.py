"""Post-activation networks are torchvision's: same keys, same outputs."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from service.config.model import ResNetConfig
from service.config.regularizer import PlainSumConfig, RegularizerConfig, ShakeDropConfig
from service.models import build_network

# Without units, and with units that never close (P_L = 1): neither may add to the state dict.
NONE = PlainSumConfig()
OPEN = ShakeDropConfig(p_l=1.0)


GROUPED = [
    ("resnext50_32x4d", {"depth": 50, "cardinality": 32, "group_width": 4}),
    ("resnext101_32x4d", {"depth": 101, "cardinality": 32, "group_width": 4}),
    ("resnext152_32x4d", {"depth": 152, "cardinality": 32, "group_width": 4}),
    ("resnext101_32x8d", {"depth": 101, "cardinality": 32, "group_width": 8}),
    ("resnext101_64x4d", {"depth": 101, "cardinality": 64, "group_width": 4}),
    ("wide_resnet50_2", {"depth": 50, "group_width": 128}),
    ("wide_resnet101_2", {"depth": 101, "group_width": 128}),
]
# Sizes that torchvision can build and has no name for.
UNNAMED = {"resnext101_32x4d": [3, 4, 23, 3], "resnext152_32x4d": [3, 8, 36, 3]}


def torchvision_network(depth: int) -> nn.Module:
    """A network of torchvision whose normalisation is not at its trivial start."""
    return shaken_up(getattr(torchvision.models, f"resnet{depth}")(num_classes=7))


def grouped_network(name: str) -> nn.Module:
    """A ResNeXt or Wide ResNet of torchvision."""
    if name in UNNAMED:
        blocks = UNNAMED[name]
        return shaken_up(ResNet(Bottleneck, blocks, num_classes=7, groups=32, width_per_group=4))
    return shaken_up(getattr(torchvision.models, name)(num_classes=7))


def shaken_up(network: nn.Module) -> nn.Module:
    """The network with normalisation that is not at its trivial start."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 0.6)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


@pytest.mark.parametrize(
    ("depth", "regularizer"),
    [(18, NONE), (50, NONE), (18, OPEN), (34, OPEN), (50, OPEN), (101, OPEN), (152, OPEN)],
)
def test_state_dict_loads_strictly_and_gives_the_same_outputs(
    depth: int, regularizer: RegularizerConfig
) -> None:
    theirs = torchvision_network(depth).eval()
    config = ResNetConfig(depth=depth, order="post_activation", regularizer=regularizer)
    ours = build_network(config, classes=7)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    ours.eval()
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(pictures)
        torch.testing.assert_close(ours(pictures), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.01


@pytest.mark.parametrize(("name", "fields"), GROUPED)
def test_resnext_and_wide_resnet_are_torchvisions(name: str, fields: dict[str, int]) -> None:
    theirs = grouped_network(name).eval()
    pictures = torch.randn(2, 3, 64, 64)
    with torch.device("meta"):
        ours, erased = (
            build_network(ResNetConfig(order=order, regularizer=NONE, **fields), classes=7)
            for order in ("post_activation", "erase_relu")
        )
    for network in (ours, erased):
        network.load_state_dict(theirs.state_dict(), strict=True, assign=True)
        network.eval()
    with torch.no_grad():
        expected = theirs(pictures)
        torch.testing.assert_close(ours(pictures), expected, rtol=1e-5, atol=1e-5)
        # EraseReLU has the same weights, and is another network.
        assert not torch.allclose(erased(pictures), expected, rtol=1e-2)
    assert expected.std() > 0.01


@pytest.mark.parametrize("regularizer", [NONE, OPEN])
def test_a_training_step_is_the_same(regularizer: RegularizerConfig) -> None:
    theirs = torchvision_network(18)
    ours = build_network(
        ResNetConfig(depth=18, order="post_activation", regularizer=regularizer), classes=7
    )
    ours.load_state_dict(theirs.state_dict(), strict=True)
    pictures, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 3])
    for network in (theirs, ours):
        nn.functional.cross_entropy(network(pictures), labels).backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-5)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name])


def test_convolutions_start_as_torchvisions() -> None:
    # Kaiming's normal distribution, fan out: standard deviation √(2 / (outputs · kernel area)).
    network = build_network(ResNetConfig(depth=18, regularizer=NONE), classes=7)
    weight = network.get_submodule("layer4.0").get_parameter("conv1.weight")  # 256 → 512
    expected = (2 / (512 * 9)) ** 0.5
    error = expected / (2 * weight.numel()) ** 0.5
    assert float(weight.detach().std()) == pytest.approx(
        expected, abs=5 * error
    )  # 5 standard errors
