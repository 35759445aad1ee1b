"""Multiplying a branch by random coefficients and adding the shortcut, in one pass over both.

The gradient of the branch has coefficients of its own, so it is not the product's. The shortcut's
is the sum's. Where a shortcut is given and nothing is compiled, the result takes the branch's place
in memory, as it does in a sum in place.
"""

from typing import Any

import torch
from torch import Tensor

from service.regularization.draws import draws_shape, uniform
from service.regularization.keyed_draws import uniform_at

_PIECE = 2**16
"""Values whose draws stay in a core's own cache between the dozen operations that make them."""


def added(values: Tensor, shortcut: Tensor | None) -> Tensor:
    """Returns values + shortcut in the place of the values, or without a shortcut the values."""
    return values if shortcut is None else values.add_(shortcut)


def known_open(gate: Tensor) -> bool:
    """Tells whether all gates are open, where the host knows it without waiting for a device."""
    # A graph serves gates of either kind. tolist, because .item() is what a search for waits finds.
    return gate.is_cpu and not torch.compiler.is_compiling() and all(gate.flatten().tolist())


def scaled_both_passes(
    branch: Tensor, shortcut: Tensor | None, forwards: Tensor, backwards: Tensor | None
) -> Tensor:
    """Returns branch · forwards + shortcut; the branch's gradient is the output's · backwards.

    Args:
        branch: A tensor of any shape and floating type; may be overwritten if there is a shortcut.
        shortcut: What is added, of the branch's shape; None for zeros.
        forwards: Coefficients that broadcast over the branch.
        backwards: The same for the gradient; None for those of the forward pass.
    """
    result: Tensor = _ScaledBothPasses.apply(branch, shortcut, forwards, backwards)
    return result


def drawn_both_passes(
    branch: Tensor,
    shortcut: Tensor | None,
    forwards: Tensor,
    backwards: Tensor,
    keys: Tensor,
    level: str,
) -> Tensor:
    """Does the same with coefficients that are drawn when they are needed, and not kept.

    Args:
        branch: As above, of shape (N, C, ...).
        shortcut: As above.
        forwards: Where they are drawn from, an interval as `scaled` takes it.
        backwards: The same for the gradient.
        keys: Two of `draw_keys`.
        level: See `scaled`.
    """
    result: Tensor = _DrawnBothPasses.apply(branch, shortcut, forwards, backwards, keys, level)
    return result


class _ScaledBothPasses(torch.autograd.Function):
    # No setup_context: with it each call costs five times as much.
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  # torch's
        branch: Tensor,
        shortcut: Tensor | None,
        forwards: Tensor,
        backwards: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(forwards if backwards is None else backwards)
        return _noted(ctx, branch, _product_added(branch, forwards, shortcut))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (gradient,) = gradients
        (backwards,) = ctx.saved_tensors
        of_shortcut = gradient if ctx.needs_input_grad[1] else None
        return _product_added(gradient, backwards, None), of_shortcut, None, None


class _DrawnBothPasses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  # torch's
        branch: Tensor,
        shortcut: Tensor | None,
        forwards: Tensor,
        backwards: Tensor,
        keys: Tensor,
        level: str,
    ) -> Tensor:
        first, second = keys.unbind()
        ctx.level = level
        ctx.save_for_backward(backwards, second)
        return _noted(ctx, branch, scaled(branch, forwards, first, level, shortcut))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (gradient,) = gradients
        backwards, key = ctx.saved_tensors
        of_shortcut = gradient if ctx.needs_input_grad[1] else None
        return scaled(gradient, backwards, key, ctx.level), of_shortcut, None, None, None, None


def scaled(
    values: Tensor, interval: Tensor, key: Tensor, level: str, shortcut: Tensor | None = None
) -> Tensor:
    """Returns values times draws from an interval, plus the shortcut.

    The same key gives the same draws on a CPU and where torch.compile fuses them. A GPU without
    compilation takes its own generator, one kernel instead of a dozen, and other draws each time.

    Args:
        values: A tensor of shape (N, C, ...) and any floating type; may be overwritten if there is
            a shortcut.
        interval: (low, high) for all values, (2,), or for each sample, (2, N, 1, ...).
        key: One of `draw_keys`.
        level: What has a draw of its own, see `service.regularization.draws.uniform`.
        shortcut: What is added, of the values' shape; None for zeros.
    """
    compiled = torch.compiler.is_compiling()
    if level == "pixel" and values.is_cpu and not compiled and values.numel() > _PIECE:
        return _scaled_in_pieces(values, interval, key, shortcut)
    keyed = compiled or values.is_cpu
    draws = uniform_at(_places(values, level), key) if keyed else uniform(values, level)
    return _product_added(values, _within(interval, draws), shortcut)


def _product_added(values: Tensor, coefficients: Tensor, shortcut: Tensor | None) -> Tensor:
    """Returns values · coefficients + shortcut, of the values' type."""
    coefficients = coefficients.to(values.dtype)
    if shortcut is None:
        return values * coefficients
    shortcut = shortcut.to(values.dtype)
    # A compiler finds places for its results itself.
    place = None if torch.compiler.is_compiling() else values
    return torch.addcmul(shortcut, values, coefficients, out=place)


def _noted(ctx: Any, branch: Tensor, output: Tensor) -> Tensor:  # noqa: ANN401
    """Returns the output, and tells autograd if it took the branch's place."""
    if output is branch:
        ctx.mark_dirty(branch)
    return output


def _scaled_in_pieces(
    values: Tensor, interval: Tensor, key: Tensor, shortcut: Tensor | None
) -> Tensor:
    """Returns the same as all at once, several times as fast: nothing but the result is written."""
    order = _memory_order(values)
    in_place = shortcut is not None and values.is_contiguous(memory_format=order)
    result = values if in_place else torch.empty_like(values, memory_format=order)
    rows, columns = len(values), values[0].numel()
    given, taken = _as_rows(values, order), _as_rows(result, order)
    others = None if shortcut is None else _as_rows(shortcut.to(values.dtype), order)
    intervals = interval.reshape(2, -1, 1).expand(2, rows, 1)
    length = max(1, _PIECE // max(1, columns))
    places = torch.arange(min(length, rows) * columns, dtype=torch.int32).view(-1, columns)
    for start in range(0, rows, length):
        piece = slice(start, min(start + length, rows))
        draws = uniform_at(places[: piece.stop - start], key, offset=start * columns)
        coefficients = _within(intervals[:, piece], draws).to(values.dtype)
        if others is None:
            torch.mul(given[piece], coefficients, out=taken[piece])
        else:
            torch.addcmul(others[piece], given[piece], coefficients, out=taken[piece])
    return result


def _within(interval: Tensor, draws: Tensor) -> Tensor:
    low, high = interval.unbind()
    return torch.addcmul(low, draws, high - low)


def _places(values: Tensor, level: str) -> Tensor:
    """Returns a number for each draw, of a shape that broadcasts over the values.

    Those of `pixel` count in the order of the memory, so that one linear pass stays one.
    """
    if level == "pixel" and _memory_order(values) is torch.channels_last:
        n, c, h, w = values.shape
        return _counted((n, h, w, c), values.device).permute(0, 3, 1, 2)
    return _counted(draws_shape(values, level), values.device)


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
