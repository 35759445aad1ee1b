"""Regularisers of residual branches, usable in any network."""

from service.regularization.depth import linear_decay
from service.regularization.shakedrop import ShakeDrop

__all__ = ["ShakeDrop", "linear_decay"]
