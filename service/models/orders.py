"""Where convolution, normalisation and ReLU stand: in a block, before the stages and after them.

    order            shared entry  branch                   after the sum  after the stages
    post_activation                conv–bn–relu–conv–bn     relu
    erase_relu                     conv–bn–relu–conv–bn
    pre_activation   bn–relu       conv–bn–relu–conv                       bn–relu
    pyramid                        bn–conv–bn–relu–conv–bn                 bn–relu
    shake            relu          conv–bn–relu–conv–bn                    relu

With a third convolution the pattern goes on. All branches of a block and its projection read what
the shared entry puts out; a shortcut that is the identity is the block's own input.

Sources: arXiv 1512.03385, 1709.07634, 1603.05027, 1610.02915 (figure 6d), 1705.07485 (section 2).
"""

from collections.abc import Sequence

from torch import nn

from service.models.design import Order, Stem
from service.models.layers import (
    Layers,
    convolution,
    convolutions_first,
    normalisation_first,
    relu,
)


def entry_layers(order: Order, inputs: int) -> Layers:
    """Returns the layers that a block's branches and its projection share.

    Args:
        order: The order.
        inputs: Channels of the block's input.
    """
    if order == "pre_activation":
        return {"bn1": nn.BatchNorm2d(inputs), "relu1": relu()}
    if order == "shake":
        # Not in place: the block's input is also its shortcut.
        return {"entry_relu": nn.ReLU()}
    return {}


def branch_layers(order: Order, convolutions: Sequence[nn.Conv2d], *, last_norm: bool) -> Layers:
    """Returns the layers of one branch after the shared entry.

    Args:
        order: The order.
        convolutions: The branch's convolutions.
        last_norm: End the branch with batch normalisation even where the order does not.
    """
    if order in ("post_activation", "erase_relu", "shake"):
        return convolutions_first(convolutions)
    layers = normalisation_first(convolutions)
    layers.pop("relu1")
    if order == "pre_activation":
        layers.pop("bn1")
    if order == "pyramid" or last_norm:
        layers[f"bn{len(convolutions) + 1}"] = nn.BatchNorm2d(convolutions[-1].out_channels)
    return layers


def stem_layers(stem: Stem, channels: int) -> Layers:
    """Returns the layers before the first stage.

    Args:
        stem: `imagenet`, a 7x7 convolution with stride 2 to max pooling with stride 2; or a 3x3
            convolution and what its name lists.
        channels: Channels it puts out.
    """
    large = stem == "imagenet"
    layers: Layers = {
        "conv1": convolution(3, channels, 7, 2) if large else convolution(3, channels, 3)
    }
    if stem != "conv":
        layers["bn1"] = nn.BatchNorm2d(channels)
    if stem in ("imagenet", "conv_bn_relu"):
        layers["relu"] = relu()
    if large:
        layers["maxpool"] = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    return layers


def tail_layers(order: Order, channels: int) -> Layers:
    """Returns the layers after the last stage: what its order leaves the sum of branches without.

    Args:
        order: The order.
        channels: Channels of the last stage.
    """
    if order in ("pre_activation", "pyramid"):
        return {"last_bn": nn.BatchNorm2d(channels), "last_relu": relu()}
    # Not in place: a detector may read the last stage's output beside the classifier.
    return {"last_relu": nn.ReLU()} if order == "shake" else {}
