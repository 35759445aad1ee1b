"""Boxes in single precision, whatever the precision of the layers that predict them.

Under autocast torchvision takes the type of anchors and boxes from feature maps and predictions. In
bf16, whose numbers have 8 significant bits, a coordinate above 512 pixels would be a multiple of 4.

The hooks here keep no state: copies of a detector share them.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def predict_in_single_precision(head: nn.Module) -> None:
    """Makes a head return float32 tensors, in tuples, lists and mappings as before."""
    head.register_forward_hook(_converted)


def place_in_single_precision(anchors: nn.Module) -> None:
    """Makes a torchvision `AnchorGenerator` return float32 anchors.

    It reads of the feature maps nothing but shape, type and device.
    """
    anchors.register_forward_pre_hook(_single_precision_maps)


def _converted(module: nn.Module, inputs: tuple[Any, ...], output: object) -> object:
    return _in_single_precision(output)


def _in_single_precision(value: object) -> object:
    match value:
        case Tensor():
            return value.float()
        case Mapping():
            return {name: _in_single_precision(part) for name, part in value.items()}
        case tuple():
            return tuple(_in_single_precision(part) for part in value)
        case list():
            return [_in_single_precision(part) for part in value]
        case _:
            return value


def _single_precision_maps(
    module: nn.Module, inputs: tuple[Any, list[Tensor]]
) -> tuple[Any, list[Tensor]]:
    pictures, maps = inputs
    # One number each, seen as a whole map.
    return pictures, [map.new_empty((), dtype=torch.float32).expand(map.shape) for map in maps]
