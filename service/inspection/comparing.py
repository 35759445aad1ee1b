"""Runs side by side: the values of their configurations that differ, then their figures."""

from collections.abc import Sequence
from typing import Any

from service.inspection.configurations import Leaves, kept_tree, leaves
from service.inspection.figures import figures
from service.inspection.folders import Place
from service.inspection.journals import read_history
from service.inspection.states import standing
from service.inspection.writing import Row, Value

# They differ between any two runs and say nothing of them.
_OWN = frozenset({"name"})


def compared(places: Sequence[Place]) -> list[Row]:
    """Returns a line for each value that differs and for each figure, a column for each run.

    Args:
        places: Runs and trials.

    Raises:
        ConfigurationError: The configuration of one cannot be read.
    """
    configurations = {place.name: leaves(kept_tree(place)) for place in places}
    measured = {place.name: _measured(place) for place in places}
    return [*_differing(configurations), *_lines(measured)]


def _differing(configurations: dict[str, Leaves]) -> list[Row]:
    paths = dict.fromkeys(path for values in configurations.values() for path in values)
    return [
        {"value": path, **{name: _text(values, path) for name, values in configurations.items()}}
        for path in paths
        if path not in _OWN and len({repr(v.get(path, _OWN)) for v in configurations.values()}) > 1
    ]


def _text(values: Leaves, path: str) -> Value:
    if path not in values:
        return None
    value: Any = values[path]
    return (
        value if isinstance(value, str | int | float) else "null" if value is None else str(value)
    )


def _measured(place: Place) -> dict[str, Value]:
    history, stands = read_history(place.folder), standing(place)
    found: dict[str, Value] = {"state": stands.state, "epochs done": stands.epoch}
    for figure in figures(place, history):
        if figure.best is not None:
            found[f"{figure.name} best"] = figure.best
        found[f"{figure.name} last"] = figure.last
    found["training, s"] = history.training_seconds
    found["evaluation, s"] = history.evaluation_seconds
    found["pictures/s, median"] = history.images_per_second
    return found


def _lines(measured: dict[str, dict[str, Value]]) -> list[Row]:
    names = dict.fromkeys(name for values in measured.values() for name in values)
    return [
        {"value": name, **{run: values.get(name) for run, values in measured.items()}}
        for name in names
    ]
