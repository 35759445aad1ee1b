"""Random points, none of them twice."""

from collections.abc import Iterator
from itertools import islice
from random import Random

from service.search.feasibility import Feasibility
from service.search.grid import LIMIT, too_many
from service.search.space import Identity, Space, identity
from service.search.trials import Point

_DRAWS = 10_000


def drawn_points(space: Space, feasibility: Feasibility, seed: int) -> Iterator[Point]:
    """Yields points that may become trials, each once, the same ones for the same seed.

    Of a space of at most `LIMIT` points, each point is as likely as the others, and all of them
    come. In a larger one each field is drawn from its distribution, and it ends when 10 000 draws
    in a row bring nothing new.

    Args:
        space: The space.
        feasibility: What a trial must fulfil.
        seed: Seed of the draws.
    """
    random = Random(seed)  # noqa: S311  # no secret
    every = _small(space)
    if every is not None:
        random.shuffle(every)
        yield from (point for point in every if feasibility.refusal(point) is None)
        return
    seen: set[Identity] = set()
    while (point := _new(space, feasibility, random, seen)) is not None:
        seen.add(identity(point))
        yield point


def check_count(space: Space, feasibility: Feasibility, trials: int) -> None:
    """Checks that a space that can be counted has a point for each trial.

    Raises:
        ConfigurationError: It has fewer.
    """
    every = _small(space)
    if every is not None:
        possible = (point for point in every if feasibility.refusal(point) is None)
        count = sum(1 for _ in islice(possible, trials))
        if count < trials:
            raise too_many(trials, count)


def _small(space: Space) -> list[Point] | None:
    """Returns all points of a space, or None if there are too many to look at."""
    if not space.finite:
        return None
    every = list(islice(space.grid(), LIMIT + 1))
    return every if len(every) <= LIMIT else None


def _new(
    space: Space, feasibility: Feasibility, random: Random, seen: set[Identity]
) -> Point | None:
    for _ in range(_DRAWS):
        point = space.draw(random)
        if identity(point) not in seen and feasibility.refusal(point) is None:
            return point
    return None
