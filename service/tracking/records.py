"""What a journal holds, line by line, and how it is read while it grows."""

import json
import logging
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

# What MLflow admits in a metric name, and its greatest length (mlflow.utils.validation).
_METRIC_NAME = re.compile(r"[/\w.\- :]{1,250}")
_LARGEST_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """Metrics of one step."""

    time: int
    """Milliseconds since 1970, UTC."""
    step: int
    """Optimiser step, at least 0."""
    metrics: dict[str, float]
    """Value by name; NaN and infinities are values too."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something people should read."""

    time: int
    """Milliseconds since 1970, UTC."""
    kind: str
    """What it is about."""
    text: str
    """One line."""


Record = MetricRecord | EventRecord


def check_metric_name(name: str) -> None:
    """Refuses a name that MLflow would refuse, which would hold up all that is delivered after it.

    Raises:
        ValueError: The name has another character, is too long, or is not a plain relative path.
    """
    if not _METRIC_NAME.fullmatch(name):
        raise ValueError(
            f"metric name {name!r}: use 1 to 250 letters, digits, spaces and any of _ - . : /"
        )
    if name == "." or name.startswith(("/", "..")) or posixpath.normpath(name) != name:
        raise ValueError(f"metric name {name!r}: write a plain path such as val/top1")


def parse_record(line: bytes) -> Record:
    """Reads one line of a journal.

    Raises:
        ValueError: The line is damaged.
    """
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    time = _whole_number(fields, "time")
    if "event" in fields:
        return EventRecord(time, str(fields["event"]), str(fields.get("text", "")))
    metrics = fields.get("metrics")
    if not isinstance(metrics, dict):
        raise ValueError("neither metrics nor an event")
    for name, value in metrics.items():
        check_metric_name(name)
        if type(value) not in (int, float):
            raise ValueError(f"{name} is not a number")
    step = _whole_number(fields, "step")
    return MetricRecord(time, step, {name: float(value) for name, value in metrics.items()})


def _whole_number(fields: dict[str, object], name: str) -> int:
    """Returns a field that must be a whole number MLflow can store."""
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= _LARGEST_INTEGER:
        raise ValueError(f"{name} is not a whole number of at least 0")
    return value


def scan_records(path: Path, offset: int) -> Iterator[tuple[Record | None, int]]:
    """Reads the complete lines of a journal one by one.

    A last line without its end is left for later: it may still be being written.

    Args:
        path: The journal; one that does not exist yet has no lines.
        offset: Byte to start at, the start of a line.

    Yields:
        The record, or None for a damaged line, which is logged; and the byte after its line.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            start, offset = offset, offset + len(line)
            try:
                record = parse_record(line)
            except ValueError as error:
                logger.warning("%s: damaged line at byte %d left out: %s", path, start, error)
                yield None, offset
            else:
                yield record, offset


def read_records(path: Path, offset: int) -> tuple[list[Record], int]:
    """Reads the complete records of a journal from a byte on.

    Args:
        path: The journal.
        offset: Byte to start at: 0, or what an earlier call returned.

    Returns:
        The records in order, and the byte to go on from.
    """
    records = []
    for record, end in scan_records(path, offset):
        offset = end
        if record is not None:
            records.append(record)
    return records, offset


class JournalReader:
    """Follows a journal that another process writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_records(self) -> list[Record]:
        """Returns the records that were completed since the last call, in order."""
        records, self._offset = read_records(self._path, self._offset)
        return records
