"""Choosing between two sets of tensors on the device, bit for bit and without waiting for it."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@torch.no_grad()
def copy_where(flag: Tensor, targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copies `sources` into `targets` where `flag` is 1 and leaves them where it is 0.

    The bits are treated as integers: target ← source + (target − source) · (1 − flag), exact with
    wrap-around, so a NaN on either side never reaches the other. A few kernels do it for all
    tensors of one type, where `torch.where` would need one for each tensor.

    Args:
        flag: 0 or 1, of any type, with one element.
        targets: Changed in place; each laid out without gaps.
        sources: Of the shapes, types and devices of `targets`.
    """
    copy_bits_where(flag, by_type(bits(targets)), by_type(bits(sources)))


@torch.no_grad()
def copy_bits_where(
    flag: Tensor, targets: Sequence[list[Tensor]], sources: Sequence[list[Tensor]]
) -> None:
    """Does the same for tensors whose `bits` somebody keeps, in one list for each type.

    To see them as integers is two calls of the host's for each tensor.
    """
    for target_bits, source_bits in zip(targets, sources, strict=True):
        keep = 1 - flag.to(target_bits[0].dtype)
        torch._foreach_sub_(target_bits, source_bits)
        torch._foreach_mul_(target_bits, keep)
        torch._foreach_add_(target_bits, source_bits)


def bits(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Returns the tensors' own memory, seen as integers of the same size."""
    return [tensor.detach().view(_INTEGERS[tensor.element_size()]) for tensor in tensors]


def by_type(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Returns the tensors in one list for each type; one kernel works on all of a type."""
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())
