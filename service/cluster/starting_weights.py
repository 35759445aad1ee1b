"""What `model.weights` means for the rest of a configuration, before anything starts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from service.cluster.carried_weights import carry
from service.cluster.runs import CONFIG
from service.cluster.session import absolute_storage
from service.config.detector import DetectorConfig
from service.config.errors import ConfigurationError
from service.config.loading import read_mapping
from service.config.merging import Tree
from service.config.model import NetworkConfig
from service.config.run import RunConfig
from service.tracking.address import resolve_uri
from service.tracking.weights import local_weights

C = TypeVar("C", bound=RunConfig)

# What a detector's weights depend on, beside its backbone.
_DETECTOR = (
    "kind",
    "backbone",
    "heads",
    "pyramid_channels",
    "anchor_sizes",
    "box_head_width",
    "mask_head_width",
)
_BACKBONE_LACKS = ("weights", "classes")


def with_weights(load: Callable[[Tree, Sequence[str]], C]) -> C:
    """Loads a configuration, its weights' address replaced by the folder or file it stands for.

    A detector takes what nothing else says of its backbone from the checkpoint's configuration:
    family, depth, and a regulariser's P_L, α and β.

    Args:
        load: Loads the configuration over a tree and under overrides.

    Raises:
        ConfigurationError: The configuration, or the address, cannot be used.
    """
    config = load({}, [])
    model = config.model
    if not isinstance(model, NetworkConfig | DetectorConfig) or model.weights is None:
        return config
    storage = absolute_storage(config.storage)
    uri = resolve_uri(config.tracking, storage, 1)
    path = local_weights(model.weights, uri, storage / "weights")
    carry(path)
    beneath = _described(path) if isinstance(model, DetectorConfig) else {}
    return load(beneath, [f"model.weights={path}"])


def _described(weights: Path) -> Tree:
    """Returns what a checkpoint's configuration says of a detector; nothing for other weights."""
    file = weights / CONFIG
    if not file.is_file():
        return {}
    # Alone: what comes with weights names no files of this machine to build on.
    model = read_mapping(file).get("model")
    if not isinstance(model, dict):
        raise ConfigurationError(f"model.weights: {file}: describes no model")
    if "backbone" in model:
        return {"model": {field: model[field] for field in _DETECTOR if field in model}}
    backbone = {field: value for field, value in model.items() if field not in _BACKBONE_LACKS}
    return {"model": {"backbone": backbone}}
