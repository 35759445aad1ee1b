"""A residual block: branches + shortcut + the rule that merges them."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from service.models.design import BlockSize, Design, ends_with_norm
from service.models.layers import Layers, add_layers, convolution, relu, run_layers
from service.models.merge import Merge
from service.models.orders import branch_layers, entry_layers
from service.models.shortcuts import shortcut_layer


class ResidualBlock(nn.Module):
    """activation(merge(branches(entry(x)), shortcut)).

    The shortcut is x itself, or `downsample(entry(x))` where the block changes the map's size or
    channels. Layers of the entry and of an only branch are children of the block under their own
    names, as in torchvision; several branches are children `branch1`, `branch2`, ….

    Args:
        branches: The layers of F_1, F_2, ….
        merge: The rule that adds the branches to the shortcut.
        entry: Layers that branches and projection share; none for most orders.
        downsample: What fits the shortcut to the branches; None for the identity.
        activation: What follows the addition.
    """

    def __init__(
        self,
        branches: Sequence[Layers],
        merge: Merge,
        *,
        entry: Layers,
        downsample: nn.Module | None,
        activation: nn.Module,
    ) -> None:
        super().__init__()
        self.entry_names = add_layers(self, entry)
        self.branch_names = [
            add_layers(self, _grouped(branch, number, len(branches)))
            for number, branch in enumerate(branches, start=1)
        ]
        self.downsample = downsample
        self.merge = merge
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's output, (N, C', H', W'), for x of shape (N, C, H, W)."""
        entered = run_layers(self, self.entry_names, x)
        shortcut = x if self.downsample is None else self.downsample(entered)
        branches = [run_layers(self, names, entered) for names in self.branch_names]
        output: Tensor = self.activation(self.merge(branches, shortcut))
        return output

    @property
    def last_norms(self) -> list[nn.BatchNorm2d]:
        """The batch normalisations that end the branches; none where convolutions do."""
        last = [getattr(self, names[-1]) for names in self.branch_names]
        last = [layer[-1] if isinstance(layer, nn.Sequential) else layer for layer in last]
        return [layer for layer in last if isinstance(layer, nn.BatchNorm2d)]


def build_block(
    design: Design,
    size: BlockSize,
    merge: Merge,
    *,
    last_norm: bool,
    inner_drop: Callable[[], nn.Module] | None,
) -> ResidualBlock:
    """Returns one block of a design.

    Args:
        design: The network.
        size: The block's channels and stride.
        merge: The rule that adds its branches to its shortcut.
        last_norm: End each branch with batch normalisation even where the order does not.
        inner_drop: Makes what follows each ReLU inside a branch; None for nothing.
    """
    order = design.order
    branches = [
        branch_layers(order, _convolutions(design, size), last_norm=last_norm)
        for _ in range(design.branches)
    ]
    if inner_drop is not None:
        branches = [_with_inner_drops(branch, inner_drop) for branch in branches]
    return ResidualBlock(
        branches,
        merge,
        entry=entry_layers(order, size.inputs),
        downsample=shortcut_layer(design.shortcut, size, normalised=ends_with_norm(order)),
        activation=relu() if design.relu_after_addition else nn.Identity(),
    )


def _convolutions(design: Design, size: BlockSize) -> list[nn.Conv2d]:
    """Returns the convolutions of a branch.

    In a bottleneck the 3x3 convolution has the stride, as in torchvision (ResNet v1.5). In arXiv
    1512.03385 the first 1x1 has it, and never sees three quarters of the block's input.
    """
    inputs, inner, outputs, stride = size
    if design.block == "basic":
        return [convolution(inputs, inner, 3, stride), convolution(inner, outputs, 3)]
    return [
        convolution(inputs, inner, 1),
        convolution(inner, inner, 3, stride, design.cardinality),
        convolution(inner, outputs, 1),
    ]


def _with_inner_drops(branch: Layers, inner_drop: Callable[[], nn.Module]) -> Layers:
    layers: Layers = {}
    for name, layer in branch.items():
        layers[name] = layer
        if isinstance(layer, nn.ReLU):
            layers[name.replace("relu", "drop_block")] = inner_drop()
    return layers


def _grouped(branch: Layers, number: int, branches: int) -> Layers:
    """Returns the branch as it is if it is the only one, or else as one layer."""
    if branches == 1:
        return branch
    group = nn.Sequential()
    add_layers(group, branch)
    return {f"branch{number}": group}
