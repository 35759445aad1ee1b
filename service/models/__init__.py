"""Residual networks, built from blocks and a merge rule."""

from service.models.build import build_network, resolved
from service.models.catalogue import network_name
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
