"""Random draws that differ along some dimensions of a tensor only."""

import torch
from torch import Tensor

_LEADING = {"batch": 0, "image": 1, "sample": 1, "channel": 2}


def draws_shape(values: Tensor, level: str) -> tuple[int, ...]:
    """Returns the shape of draws that broadcast over `values`; for the level see `uniform`."""
    leading = _LEADING.get(level, values.ndim)
    return (*values.shape[:leading], *(1 for _ in values.shape[leading:]))


def uniform(values: Tensor, level: str) -> Tensor:
    """Returns draws from U[0, 1] that broadcast over `values`, on its device.

    Drawn in fp32 whatever the type of `values`: a uniform draw made in half precision has a visible
    bias. Round it to another type afterwards.

    Args:
        values: A tensor of shape (N, C, ...).
        level: One draw for all (`batch`), for each of N (`image`, `sample`), for each of N and C
            (`channel`), or for each value (`pixel`).
    """
    if level == "pixel":
        # rand_like keeps the memory order, so that channels_last stays one linear pass.
        return torch.rand_like(values, dtype=torch.float32)
    return torch.rand(draws_shape(values, level), device=values.device)


def two_uniform(values: Tensor, level: str) -> tuple[Tensor, Tensor]:
    """Returns two such draws at once, of any level but `pixel`."""
    first, second = torch.rand((2, *draws_shape(values, level)), device=values.device).unbind()
    return first, second
