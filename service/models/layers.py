"""Layers with names: the pieces that blocks, stems and tails are put together from.

Blocks and networks register layers under their own names, without a container between, because the
names make the keys of a state dict and torchvision's keys are flat: `layer1.0.conv1.weight`.
"""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

Layers = dict[str, nn.Module]


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Returns a convolution without bias that keeps the map's size, but for its stride.

    Args:
        inputs: Channels it reads.
        outputs: Channels it writes.
        kernel: Side of the kernel, odd, in pixels.
        stride: Step between positions, in pixels.
        groups: Groups that channels fall into; each output sees its own group of inputs alone.
    """
    padding = kernel // 2
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def relu() -> nn.ReLU:
    """Returns a ReLU that overwrites its input: no layer here reads that input again."""
    return nn.ReLU(inplace=True)


def convolutions_first(convolutions: Sequence[nn.Conv2d]) -> Layers:
    """Returns conv1–bn1–relu1–conv2–bn2–…, ending with batch normalisation (arXiv 1512.03385)."""
    layers: Layers = {}
    for number, layer in enumerate(convolutions, start=1):
        layers[f"conv{number}"] = layer
        layers[f"bn{number}"] = nn.BatchNorm2d(layer.out_channels)
        layers[f"relu{number}"] = relu()
    layers.popitem()
    return layers


def normalisation_first(convolutions: Sequence[nn.Conv2d]) -> Layers:
    """Returns bn1–relu1–conv1–bn2–relu2–conv2–…, ending with a convolution (arXiv 1603.05027)."""
    layers: Layers = {}
    for number, layer in enumerate(convolutions, start=1):
        layers[f"bn{number}"] = nn.BatchNorm2d(layer.in_channels)
        layers[f"relu{number}"] = relu()
        layers[f"conv{number}"] = layer
    return layers


def add_layers(module: nn.Module, layers: Layers) -> tuple[str, ...]:
    """Registers the layers as children of `module` and returns their names, in order."""
    for name, layer in layers.items():
        module.add_module(name, layer)
    return tuple(layers)


def run_layers(module: nn.Module, names: Iterable[str], x: Tensor) -> Tensor:
    """Sends x through the named children of `module`.

    Children are looked up by name at each call, so that whoever replaces one (SyncBatchNorm, frozen
    batch normalisation) replaces what runs.
    """
    for name in names:
        x = getattr(module, name)(x)
    return x
