"""What a journal holds, line by line, and how it is read while it grows."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.tracking.names import check_artifact_path, check_metric_name

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """A file of the run that was written, anew or for the first time."""

    time: int
    """Milliseconds since 1970, UTC."""
    path: str
    """Where it lies below the run's folder of files, with slashes."""


Record = MetricRecord | EventRecord | ArtifactRecord


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
    if "artifact" in fields:
        return _artifact(time, fields["artifact"])
    metrics = fields.get("metrics")
    if not isinstance(metrics, dict):
        raise ValueError("neither metrics nor an event nor a file")
    for name, value in metrics.items():
        check_metric_name(name)
        if type(value) not in (int, float):
            raise ValueError(f"{name} is not a number")
    step = _whole_number(fields, "step")
    return MetricRecord(time, step, {name: float(value) for name, value in metrics.items()})


def _artifact(time: int, path: object) -> ArtifactRecord:
    """Returns the record of a file; its path may not lead elsewhere."""
    if not isinstance(path, str):
        raise ValueError("artifact is not a path")
    check_artifact_path(path)
    return ArtifactRecord(time, path)


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
