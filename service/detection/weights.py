"""Starting a detector from trained weights: a classifier's, or those of a whole detector."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from service.config.errors import ConfigurationError
from service.detection.backbone import BODY
from service.detection.weights_report import DetectorLoadReport, by_part
from service.models.weights import COUNTER, check_same_network, read_weights

State = Mapping[str, Tensor]

_DETECTOR = "backbone."
"""What only keys of a whole detector begin with."""
# Pattern of a key, and step and start of the numbers in it.
_FORMER_KEYS = (
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.)(\d+)\.(\w+)", 1, 0),
    (r"(rpn\.head\.conv\.)()(weight|bias)", 1, 0),
    (r"(roi_heads\.mask_head\.)mask_fcn(\d+)\.(\w+)", 1, 1),
    (r"(head\.(?:classification|regression)_head\.conv\.)(\d+)\.(\w+)", 2, 0),
)


def load_detector_weights(detector: nn.Module, path: str) -> DetectorLoadReport:
    """Loads trained weights into a detector, in place.

    A classifier gives its residual network; pyramid and heads start anew. A detector, ours or
    torchvision's, also of torchvision's first files, gives each further layer that has the same
    tensors of the same sizes; a layer is taken whole or starts anew, such as the predictors of
    other categories. torchvision's first detectors were trained with ε = 0 in batch normalisation;
    here it is 1e-5, as in their backbone's own training.

    Args:
        detector: From `build_detector`.
        path: A checkpoint folder (with `model.safetensors`), a `.safetensors` file, or a state dict
            (`.pth`, `.pt`).

    Raises:
        ConfigurationError: The file cannot be read, or the residual network in it is not the
            detector's: a backbone is never left at random. The detector is then as it was.
    """
    own, state = detector.state_dict(), _detector_state(read_weights(Path(path)))
    _check_backbone(path, own, state)
    renewed = _layers_of_other_tensors(own, state)
    reinitialised = [key for key in own if key in state and _layer(key) in renewed]
    matched = [key for key in own if key in state and _layer(key) not in renewed]
    detector.load_state_dict({key: state[key] for key in matched}, strict=False)
    return by_part(
        matched,
        missing=[key for key in own if key not in state],
        unexpected=[key for key in state if key not in own],
        reinitialised=reinitialised,
    )


def _detector_state(state: State) -> dict[str, Tensor]:
    """Returns a file's tensors by the keys that a detector has for them."""
    if any(key.startswith(_DETECTOR) for key in state):
        return {_renamed(key): value for key, value in state.items()}
    return {BODY + key: value for key, value in state.items()}


def _check_backbone(path: str, own: State, state: State) -> None:
    ours, theirs = _body(own), _body(state)
    if not ours.keys() & theirs.keys():
        raise ConfigurationError(
            f"model.weights: {path}: it holds no tensor of the backbone (it begins with "
            f"{next(iter(state)).removeprefix(BODY)}, the backbone with {next(iter(ours))}), which "
            "would start from random weights; give weights of the network that model.backbone "
            "describes"
        )
    check_same_network(path, ours, theirs)


def _body(state: State) -> dict[str, Tensor]:
    """Returns the residual network's tensors, by the keys of a classifier."""
    return {key.removeprefix(BODY): value for key, value in state.items() if key.startswith(BODY)}


def _layers_of_other_tensors(own: State, state: State) -> set[str]:
    """Returns the layers that file and detector share a key of, but not all keys and shapes."""
    ours, theirs = _shapes_by_layer(own), _shapes_by_layer(state)
    return {layer for layer in ours.keys() & theirs.keys() if ours[layer] != theirs[layer]}


def _shapes_by_layer(state: State) -> dict[str, dict[str, tuple[int, ...]]]:
    layers: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, value in state.items():
        # Old files lack batch counters.
        if not key.endswith(COUNTER):
            layers.setdefault(_layer(key), {})[key] = tuple(value.shape)
    return layers


def _layer(key: str) -> str:
    return key.rpartition(".")[0]


def _renamed(key: str) -> str:
    """Returns a key of torchvision's first detectors as its detectors have had it since 0.12."""
    for pattern, step, first in _FORMER_KEYS:
        found = re.fullmatch(pattern, key)
        if found:
            # The number of a layer among convolutions and activations, from 0 or 1, becomes that of
            # a convolution with its activation.
            return f"{found[1]}{(int(found[2] or 0) - first) // step}.0.{found[3]}"
    return key
