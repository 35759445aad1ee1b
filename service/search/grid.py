"""All points of a space, or some of them, evenly spread."""

from itertools import islice

from service.config.errors import ConfigurationError
from service.search.feasibility import Feasibility
from service.search.space import Space
from service.search.trials import Point

LIMIT = 10_000
"""Points of a grid that are looked at; nobody trains more networks in one sweep."""


def grid_points(space: Space, feasibility: Feasibility, trials: int | None) -> list[Point]:
    """Returns the points of a grid search, in order.

    Points that the configuration or a constraint refuses are left out. Fewer trials than points
    are spread evenly over the order of the grid, its first and last point included.

    Args:
        space: The space.
        feasibility: What a trial must fulfil.
        trials: How many; None for all.

    Raises:
        ConfigurationError: The grid has fewer points than trials, or too many to look at, or a
            field has any value between two ends.
    """
    every = list(islice(space.grid(), LIMIT + 1))
    if len(every) > LIMIT:
        raise ConfigurationError(
            f"sweep.space: the grid has more than {LIMIT} points; give fewer, or choose "
            "sweep.search.kind=random"
        )
    points = [point for point in every if feasibility.refusal(point) is None]
    if trials is None:
        return points
    if trials > len(points):
        raise too_many(trials, len(points))
    return [points[position] for position in _spread(trials, len(points))]


def too_many(trials: int, points: int) -> ConfigurationError:
    """Returns the error for more trials than a space has points."""
    return ConfigurationError(
        f"sweep.trials: {trials} exceeds the {points} points that the space has; give at most "
        f"{points}"
    )


def _spread(count: int, size: int) -> list[int]:
    """Returns `count` different positions below `size`, as even as whole numbers allow."""
    if count == 1:
        return [0]
    return [round(step * (size - 1) / (count - 1)) for step in range(count)]
