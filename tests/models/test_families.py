"""Each family against its description: what stands where, with which channels and strides."""

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import nn

from service.config.model import ModelConfig
from service.models import ResidualNetwork, build_network

Describe = Callable[..., ModelConfig]
Tiny = Callable[..., ModelConfig]

NAMES: dict[type[nn.Module], str] = {
    nn.BatchNorm2d: "bn",
    nn.ReLU: "relu",
    nn.MaxPool2d: "max",
    nn.AvgPool2d: "average",
    nn.ZeroPad3d: "zeros",
}


def spelled(layers: Iterable[nn.Module]) -> str:
    """Layers in a line: `conv3/2` is a 3x3 convolution with stride 2, `conv3g4` one in 4 groups."""
    words = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            stride = f"/{layer.stride[0]}" if layer.stride[0] > 1 else ""
            groups = f"g{layer.groups}" if layer.groups > 1 else ""
            words.append(f"conv{layer.kernel_size[0]}{stride}{groups}")
        elif type(layer) is nn.Sequential:
            words.append(spelled(layer))
        else:
            words.append(NAMES.get(type(layer), type(layer).__name__))
    return " ".join(words)


def named(module: nn.Module, names: Iterable[str]) -> str:
    return spelled(module.get_submodule(name) for name in names)


def anatomy(network: ResidualNetwork) -> dict[str, object]:
    """What stands where in a network, and in the first block of its second stage."""
    block = network.stages[1][0]
    shortcut = "" if block.downsample is None else spelled([block.downsample])
    return {
        "stem": named(network, network.stem_names),
        "blocks": [len(stage) for stage in network.stages],
        "channels": network.feature_channels,
        "entry": named(block, block.entry_names),
        "branches": [named(block, names) for names in block.branch_names],
        "shortcut": shortcut,
        "after": spelled([block.activation]),
        "tail": named(network, network.tail_names),
    }


POST = "conv1 bn relu conv3/2g{} bn relu conv1 bn"
EXPECTED: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "ResNeXt-50 32x4d": (
        {"depth": 50, "order": "post_activation", "cardinality": 32, "group_width": 4},
        {
            "stem": "conv7/2 bn relu max",
            "blocks": [3, 4, 6, 3],
            "channels": (256, 512, 1024, 2048),
            "entry": "",
            "branches": [POST.format(32)],
            "shortcut": "conv1/2 bn",
            "after": "relu",
            "tail": "",
        },
    ),
    "PyramidNet-200": (
        {"kind": "pyramidnet", "depth": 200, "alpha": 300},
        {
            "stem": "conv7/2 bn relu max",
            "blocks": [3, 24, 36, 3],
            "channels": (4 * 78, 4 * 187, 4 * 350, 4 * 364),
            "entry": "",
            "branches": ["bn conv1 bn relu conv3/2 bn relu conv1 bn"],
            "shortcut": "average zeros",
            "after": "Identity",
            "tail": "bn relu",
        },
    ),
    "CIFAR PyramidNet-110": (
        {"kind": "cifar_pyramidnet", "depth": 110, "alpha": 270},
        {
            "stem": "conv3 bn",
            "blocks": [18, 18, 18],
            "channels": (106, 196, 286),
            "entry": "",
            "branches": ["bn conv3/2 bn relu conv3 bn"],
            "shortcut": "average zeros",
            "after": "Identity",
            "tail": "bn relu",
        },
    ),
    "CIFAR PyramidNet-272": (
        {"kind": "cifar_pyramidnet", "depth": 272, "alpha": 200, "block": "bottleneck"},
        {
            "stem": "conv3 bn",
            "blocks": [30, 30, 30],
            "channels": (4 * 83, 4 * 149, 4 * 216),
            "entry": "",
            "branches": ["bn conv1 bn relu conv3/2 bn relu conv1 bn"],
            "shortcut": "average zeros",
            "after": "Identity",
            "tail": "bn relu",
        },
    ),
    "CIFAR ResNet-20": (
        {"kind": "cifar_resnet", "depth": 20, "order": "post_activation"},
        {
            "stem": "conv3 bn relu",
            "blocks": [3, 3, 3],
            "channels": (16, 32, 64),
            "entry": "",
            "branches": ["conv3/2 bn relu conv3 bn"],
            "shortcut": "conv1/2 bn",
            "after": "relu",
            "tail": "",
        },
    ),
    "CIFAR ResNet-164, pre-activation": (
        {"kind": "cifar_resnet", "depth": 164, "block": "bottleneck"},
        {
            "stem": "conv3",
            "blocks": [18, 18, 18],
            "channels": (64, 128, 256),
            "entry": "bn relu",
            "branches": ["conv1 bn relu conv3/2 bn relu conv1"],
            "shortcut": "conv1/2",
            "after": "Identity",
            "tail": "bn relu",
        },
    ),
    "WRN-28-10": (
        {"kind": "cifar_wide_resnet"},
        {
            "stem": "conv3",
            "blocks": [4, 4, 4],
            "channels": (160, 320, 640),
            "entry": "bn relu",
            "branches": ["conv3/2 bn relu conv3"],
            "shortcut": "conv1/2",
            "after": "Identity",
            "tail": "bn relu",
        },
    ),
    "ResNeXt-29 2x4x64d": (
        {"kind": "cifar_resnext", "cardinality": 4, "group_width": 64, "branches": 2},
        {
            "stem": "conv3 bn relu",
            "blocks": [3, 3, 3],
            "channels": (256, 512, 1024),
            "entry": "",
            "branches": [POST.format(4)] * 2,
            "shortcut": "conv1/2 bn",
            "after": "relu",
            "tail": "",
        },
    ),
    "ResNeXt-29 8x64d, EraseReLU": (
        {"kind": "cifar_resnext", "order": "erase_relu"},
        {
            "stem": "conv3 bn relu",
            "blocks": [3, 3, 3],
            "channels": (256, 512, 1024),
            "entry": "",
            "branches": [POST.format(8)],
            "shortcut": "conv1/2 bn",
            "after": "Identity",
            "tail": "",
        },
    ),
    "Shake-Shake 26 2x32d": (
        {"kind": "shake_resnet"},
        {
            "stem": "conv3 bn",
            "blocks": [4, 4, 4],
            "channels": (32, 64, 128),
            "entry": "relu",
            "branches": ["conv3/2 bn relu conv3 bn"] * 2,
            "shortcut": "TwoPaths",
            "after": "Identity",
            "tail": "relu",
        },
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_anatomy(describe_model: Describe, name: str) -> None:
    fields, expected = EXPECTED[name]
    with torch.device("meta"):
        config = describe_model(regularizer={"kind": "none"}, **fields)
        assert anatomy(build_network(config, classes=10)) == expected


def test_later_blocks_keep_their_input_as_the_shortcut(family: str, tiny: Tiny) -> None:
    network = build_network(tiny(family), classes=2)
    grows = "pyramid" in family  # every block of a pyramid has more channels than its input
    for number, stage in enumerate(network.stages):
        assert stage[0].downsample is not None or number == 0
        assert all((block.downsample is None) != grows for block in stage[1:])


def test_stages_halve_the_map(family: str, tiny: Tiny) -> None:
    network = build_network(tiny(family), classes=5).eval()
    maps: list[tuple[int, ...]] = []
    for name in network.stage_names:
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output: maps.append(tuple(output.shape))
        )
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 5)
    first = 16 if family == "pyramidnet" else 64
    assert maps == [
        (2, channels, first // 2**stage, first // 2**stage)
        for stage, channels in enumerate(network.feature_channels)
    ]


def test_odd_sizes_pass(family: str, tiny: Tiny) -> None:
    # Shortcut and branch must agree on how an odd side is halved.
    network = build_network(tiny(family), classes=5).eval()
    assert network(torch.randn(2, 3, 45, 39)).shape == (2, 5)
