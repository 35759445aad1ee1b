"""Bringing the workers' shares together, and checking that they make up the whole."""

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")

_SHOWN = 3


def at_first_worker(own: list[T]) -> list[T]:
    """Returns what all workers gave, on rank 0; nothing on the others. They call it together."""
    if not dist.is_initialized():
        return own
    first = dist.get_rank() == 0
    shares: list[list[T]] | None = [[]] * dist.get_world_size() if first else None
    dist.gather_object(own, shares)
    return [one for share in shares or [] for one in share]


def check_pictures(expected: Iterable[int], evaluated: Iterable[int]) -> None:
    """Checks that each picture was evaluated exactly once.

    Args:
        expected: Ids of the ground truth's pictures.
        evaluated: Ids of all workers' pictures.

    Raises:
        RuntimeError: A picture is missing, came twice, or is not in the ground truth.
    """
    wanted, counts = set(expected), Counter(evaluated)
    problems = {
        "missing": sorted(wanted - counts.keys()),
        "evaluated more than once": sorted(one for one, count in counts.items() if count > 1),
        "not in the ground truth": sorted(counts.keys() - wanted),
    }
    lines = [f"{len(ids)} {what} ({_first(ids)})" for what, ids in problems.items() if ids]
    if lines:
        raise RuntimeError(
            f"of {len(wanted)} pictures to evaluate: {', '.join(lines)}; "
            "the workers see different data"
        )


def _first(ids: list[int]) -> str:
    more = ", …" if len(ids) > _SHOWN else ""
    return "id " + ", ".join(map(str, ids[:_SHOWN])) + more
