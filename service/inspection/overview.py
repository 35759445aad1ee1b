"""All runs of a storage folder, a line each."""

from collections.abc import Sequence

from service.config.showing import one_line
from service.inspection.folders import Contents, Place, size_of
from service.inspection.states import Standing, age, standing
from service.inspection.writing import Row, Value, bytes_text, time_text
from service.tracking.recorded import RecordedRun
from service.tracking.request import run_key

COLUMNS = ("name", "kind", "state", "epoch", "epochs", "metric", "best", "last", "bytes", "age")
"""What is known of each run from its folder; `bytes` and `age` (seconds) are numbers."""
MLFLOW = "mlflow"
"""Column of what MLflow says of it."""
SORTS = ("name", "age", "best", "bytes", "state")
"""Columns by which lines may be sorted."""

_LARGEST_FIRST = frozenset({"best", "bytes"})


def overview(
    contents: Contents, recorded: Sequence[RecordedRun] | None, *, trials: bool, sort: str
) -> tuple[list[Row], list[str]]:
    """Returns a line for each run and sweep, and what is to be said of folders.

    Args:
        contents: What lies in the storage folder.
        recorded: What MLflow knows; None if it was not asked. Runs without a folder are added.
        trials: Whether each trial of a sweep has a line, too.
        sort: Column by which lines are sorted: names and ages (newest first) upwards, figures and
            sizes downwards.

    Returns:
        The lines; and a text for each run whose folder is damaged and each folder that is no run.
    """
    known = {run.key: run for run in recorded or ()}
    rows, notes = [], list(contents.notes)
    for place in contents.places:
        found = known.pop(run_key(contents.storage, place.name), None)
        if trials or place.kind != "trial":
            stands = standing(place)
            rows.append(_row(place, stands, found))
            if stands.problem is not None:
                notes.append(f"{one_line(place.name)}: {stands.problem}")
    rows += [_recorded_only(run) for run in known.values()]
    return sorted(rows, key=lambda row: _order(row[sort], sort)), notes


def for_people(rows: Sequence[Row]) -> list[Row]:
    """Returns the lines with sizes and ages as people read them."""
    return [
        {
            **row,
            "bytes": None if row["bytes"] is None else bytes_text(_whole(row["bytes"])),
            "age": time_text(_number(row["age"])),
        }
        for row in rows
    ]


def _row(place: Place, found: Standing, recorded: RecordedRun | None) -> Row:
    length = found.length
    trials = found.trials
    return {
        "name": place.name,
        "kind": place.kind if trials is None else f"sweep of {trials}",
        "state": found.state,
        "epoch": found.epoch,
        "epochs": None if length is None else str(length).removesuffix("ep"),
        "metric": found.metric,
        "best": found.best,
        "last": found.last,
        "bytes": size_of(place.folder),
        "age": age(found.seen),
        MLFLOW: recorded.status if recorded else None,
    }


def _recorded_only(run: RecordedRun) -> Row:
    """Returns the line of a run that MLflow knows, and whose folder is not here."""
    best = next((name for name in run.metrics if name.startswith("val/best_")), None)
    metric = best and best.replace("best_", "", 1)
    return {
        "name": run.name,
        "kind": "elsewhere",
        "state": None,
        "epoch": None,
        "epochs": None,
        "metric": metric,
        "best": run.metrics[best] if best else None,
        "last": run.metrics.get(metric) if metric else None,
        "bytes": None,
        "age": None,
        MLFLOW: run.status,
    }


def _order(value: Value, column: str) -> tuple[bool, float, str]:
    """Returns what sorts a value: nothing comes last."""
    number = _number(value)
    sign = -1 if column in _LARGEST_FIRST else 1
    return value is None, 0.0 if number is None else sign * number, str(value)


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole(value: Value) -> int:
    return int(value) if isinstance(value, int | float) else 0
