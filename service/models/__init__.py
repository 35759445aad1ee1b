"""Residual networks, built from blocks and a merge rule."""

from service.models.catalogue import network_name
from service.models.network import ResidualNetwork
from service.models.resnet import build_network, resolved
from service.models.weights import LoadReport, load_weights

__all__ = [
    "LoadReport",
    "ResidualNetwork",
    "build_network",
    "load_weights",
    "network_name",
    "resolved",
]
