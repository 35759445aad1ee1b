"""Residual networks, built from blocks and a merge rule.

The names are imported when they are first used: a driver asks for a network's name and has no use
for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.models.build import build_network
    from service.models.completion import resolved
    from service.models.families import network_name
    from service.models.network import ResidualNetwork
    from service.models.strength import apply_strengths, set_strength
    from service.models.weights import LoadReport, load_weights

__all__ = [
    "LoadReport",
    "ResidualNetwork",
    "apply_strengths",
    "build_network",
    "load_weights",
    "network_name",
    "resolved",
    "set_strength",
]

_HOMES = {
    "LoadReport": "weights",
    "ResidualNetwork": "network",
    "apply_strengths": "strength",
    "build_network": "build",
    "load_weights": "weights",
    "network_name": "families",
    "resolved": "completion",
    "set_strength": "strength",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # classes and functions
    """Returns one of the package's names."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
