"""Conditions of searched fields that cannot hold."""

from collections.abc import Iterator

from service.config.errors import ConfigurationError
from service.config.loading import validate
from service.config.sweep import IntegerConfig, Value
from service.search.configurations import Configurations
from service.search.dimension import Dimension, same
from service.search.space import Space, kinds_above


def condition_problems(space: Space, configurations: Configurations) -> Iterator[str]:
    """Yields a line for each value of a condition that its field never has.

    Args:
        space: The space; its conditions name known fields.
        configurations: The recipe.
    """
    for dimension in space.dimensions:
        for field, values in dimension.distribution.when.items():
            problem = _problem(space, configurations, field, values)
            if problem is not None:
                yield f"sweep.space: {dimension.path}: when: {problem}"


def _problem(
    space: Space, configurations: Configurations, field: str, values: tuple[Value, ...]
) -> str | None:
    if not values:
        return f"{field}: name at least one value"
    if field in space:
        return _never_drawn(space[field], values)
    if any(kind in space for kind in kinds_above(field) - {field}):
        # What the field holds, and whether it exists, differs from point to point.
        return None
    return _not_allowed(configurations, field, values) or _not_so(configurations, field, values)


def _never_drawn(dimension: Dimension, values: tuple[Value, ...]) -> str | None:
    if dimension.values is None:
        return (
            f"{dimension.path} has any value between two ends; give it points, or make it a choice"
        )
    for value in values:
        if not dimension.contains(value):
            return f"{dimension.path} is never {value!r}; it is {_listed(dimension)}"
    return None


def _listed(dimension: Dimension) -> str:
    if isinstance(dimension.distribution, IntegerConfig):
        return f"{dimension.distribution.low} to {dimension.distribution.high}"
    return " or ".join(repr(value) for value in dimension.values or ())


def _not_allowed(
    configurations: Configurations, field: str, values: tuple[Value, ...]
) -> str | None:
    for value in values:
        try:
            validate(configurations.schema, configurations.tree({field: value}))
        except ConfigurationError as error:
            for line in str(error).splitlines():
                if line.startswith(f"{field}:"):
                    return line
    return None


def _not_so(configurations: Configurations, field: str, values: tuple[Value, ...]) -> str | None:
    found = configurations.value({}, field)
    if any(same(found, value) for value in values):
        return None
    wanted = " or ".join(repr(value) for value in values)
    return f"{field} is not searched and {found!r} in the recipe; it is never {wanted}"
