"""Multiplying a branch by random coefficients, in one pass and without keeping them."""

import torch
from torch import Tensor

from service.regularization.draws import leading_dimensions, uniform
from service.regularization.keyed_draws import uniform_at

_PIECE = 2**16
"""Values whose draws stay in a core's own cache between the dozen operations that make them."""


def scaled(values: Tensor, interval: Tensor, key: Tensor, level: str) -> Tensor:
    """Returns values times draws from an interval.

    The same key gives the same draws on a CPU and where torch.compile fuses them. A GPU without
    compilation takes its own generator, one kernel instead of a dozen, and other draws each time.

    Args:
        values: A tensor of shape (N, C, ...) and any floating type.
        interval: (low, high) for all values, (2,), or for each sample, (2, N, 1, ...).
        key: One of `draw_keys`.
        level: What has a draw of its own, see `service.regularization.draws.uniform`.
    """
    compiled = torch.compiler.is_compiling()
    if level == "pixel" and values.is_cpu and not compiled and values.numel() > _PIECE:
        return _scaled_in_pieces(values, interval, key)
    keyed = compiled or values.is_cpu
    draws = uniform_at(_places(values, level), key) if keyed else uniform(values, level)
    return values * _within(interval, draws).to(values.dtype)


def _scaled_in_pieces(values: Tensor, interval: Tensor, key: Tensor) -> Tensor:
    """Returns the same as all at once, several times as fast: nothing but the result is written."""
    order = _memory_order(values)
    result = torch.empty_like(values, memory_format=order)
    rows, columns = len(values), values[0].numel()
    given, taken = _as_rows(values, order), _as_rows(result, order)
    intervals = interval.reshape(2, -1, 1).expand(2, rows, 1)
    length = max(1, _PIECE // max(1, columns))
    places = torch.arange(min(length, rows) * columns, dtype=torch.int32).view(-1, columns)
    for start in range(0, rows, length):
        piece = slice(start, min(start + length, rows))
        draws = uniform_at(places[: piece.stop - start] + start * columns, key)
        coefficients = _within(intervals[:, piece], draws).to(values.dtype)
        torch.mul(given[piece], coefficients, out=taken[piece])
    return result


def _within(interval: Tensor, draws: Tensor) -> Tensor:
    return draws * (interval[1] - interval[0]) + interval[0]


def _places(values: Tensor, level: str) -> Tensor:
    """Returns a number for each draw, of a shape that broadcasts over the values.

    Those of `pixel` count in the order of the memory, so that one linear pass stays one.
    """
    shape = values.shape
    if level == "pixel" and _memory_order(values) is torch.channels_last:
        n, c, h, w = shape
        return _counted((n, h, w, c), values.device).permute(0, 3, 1, 2)
    leading = shape[: leading_dimensions(level, values.ndim)]
    return _counted((*leading, *(1 for _ in shape[len(leading) :])), values.device)


def _counted(shape: tuple[int, ...], device: torch.device) -> Tensor:
    count = torch.Size(shape).numel()
    return torch.arange(count, dtype=torch.int32, device=device).view(shape)


def _memory_order(values: Tensor) -> torch.memory_format:
    plain = values.is_contiguous() or values.ndim != 4
    if not plain and values.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def _as_rows(values: Tensor, order: torch.memory_format) -> Tensor:
    """Returns values as (N, all others) in the order of the memory; a view where that is theirs."""
    return (values.permute(0, 2, 3, 1) if order is torch.channels_last else values).flatten(1)
