"""Uniform random numbers as a function of a key and a place.

Whoever knows the key draws the same numbers again, all of them or a part. So nothing is stored
between two passes, and the numbers are the same whether they are drawn piece by piece, at once, or
by code that a compiler has fused with the arithmetic around it: there it takes a dozen integer
instructions, which one pass over memory hides.

Counter-based generation (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011): each
key reads a hash of 32 bits at an arithmetic progression of its own. The hash is Wellons'
`lowbias32`, multiplications and xorshifts in turns (https://nullprogram.com/blog/2018/07/31/). It
is made for noise, not for secrets.
"""

import torch
from torch import Tensor

_FACTORS = (0x7FEB352D, 0x846CA68B - 2**32)
_RESOLUTION = 2.0**-24
"""That of torch.rand in fp32."""


def draw_keys(count: int, device: torch.device) -> Tensor:
    """Returns keys from the device's default generator, int32 (count, 2)."""
    return torch.randint(-(2**31), 2**31, (count, 2), dtype=torch.int32, device=device)


def uniform_at(places: Tensor, key: Tensor, offset: int = 0) -> Tensor:
    """Returns a key's draws from U[0, 1) at some places, fp32 of the places' shape.

    Args:
        places: int32 numbers; the same place has the same draw.
        key: One of `draw_keys`, (2,).
        offset: Added to all places.
    """
    start, step = key.unbind()
    step = step | 1
    # Products wrap around. Shifts repeat the sign, which costs one of 32 bits: the last one leaves
    # no negative number. In place, for on a CPU each new tensor would go through memory.
    mixed = places * step
    mixed += step * offset + start
    mixed ^= mixed >> 16
    mixed *= _FACTORS[0]
    mixed ^= mixed >> 15
    mixed *= _FACTORS[1]
    mixed ^= mixed >> 16
    mixed >>= 7
    return mixed.float().mul_(_RESOLUTION)
