"""Tables for people and for programs, and numbers as people read them."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from service.config.showing import one_line

Value: TypeAlias = str | int | float | bool | None
Format = Literal["table", "json", "csv"]
Row: TypeAlias = Mapping[str, Value]
"""What stands in a line, by the name of its column."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def written(rows: Sequence[Row], columns: Sequence[str], how: Format) -> str:
    """Returns rows as a table, as JSON or as CSV, without a last line end.

    Args:
        rows: Lines; a column that a row lacks is empty.
        columns: Names of the columns in their order.
        how: As what. JSON and CSV have every digit, and no more than numbers where they can.
    """
    if how == "json":
        lines = [{name: _plain(row.get(name)) for name in columns} for row in rows]
        return json.dumps(lines, indent=2, ensure_ascii=False)
    if how == "csv":
        return _csv(rows, columns)
    return table(columns, [[shown_value(row.get(name)) for name in columns] for row in rows])


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns texts below the names of their columns; numbers are set right."""
    lines = [list(columns), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    right = [
        bool(rows) and all(_is_number(row[index]) for row in rows) for index in range(len(columns))
    ]
    return "\n".join(
        "  ".join(
            text.rjust(width) if numeric else text.ljust(width)
            for text, width, numeric in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def shown_value(value: Value) -> str:
    """Returns a value as tables show it; nothing is a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else one_line(value)


def bytes_text(size: int) -> str:
    """Returns a size as people write it: 1.2 GB."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_UNITS[unit]}"


def time_text(seconds: float | None) -> str:
    """Returns a length of time: 12 s, 3 min, 5.5 h, 12 days."""
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 86400:.0f} days"


def moment_text(time: float | None) -> str:
    """Returns a point in time, UTC."""
    return "–" if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows([_plain(row.get(name)) for name in columns] for row in rows)
    return text.getvalue().rstrip("\n")


def _plain(value: Value) -> Value:
    # JSON has no NaN and no infinity.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_number(text: str) -> bool:
    return text == "–" or text[:1].isdigit() or text[:2].lstrip("-")[:1].isdigit()
