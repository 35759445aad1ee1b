"""Measurements as JSON lines: appended to a file, read back, made into a table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from service.benchmark.machine import command, hardware, versions
from service.benchmark.timing import PairedTimes
from service.config.errors import ConfigurationError


@dataclass(frozen=True)
class Record:
    """One comparison of ours with a peer."""

    what: str
    """What was done."""
    peer: str
    """What ours was compared with."""
    ours_seconds: tuple[float, ...]
    """One for each round."""
    peer_seconds: tuple[float, ...]
    """One for each round."""
    goal: float
    """How many times faster ours should be."""
    agreement: str
    """How far the results are the same."""
    command: str = field(default_factory=command)
    hardware: dict[str, Any] = field(default_factory=hardware)
    versions: dict[str, str] = field(default_factory=versions)
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def times(self) -> PairedTimes:
        """The rounds' times."""
        return PairedTimes(self.ours_seconds, self.peer_seconds)

    def __str__(self) -> str:
        ratios = self.times.ratios
        return (
            f"{self.what}: {self.times.ratio:.2f} times as fast as {self.peer} "
            f"({min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds, "
            f"goal {self.goal:g}); {self.agreement}"
        )


def append(record: Record, file: Path) -> None:
    """Adds a line to a file, which is made if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(record), ensure_ascii=False, allow_nan=False)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def read(file: Path) -> list[Record]:
    """Returns the records of a file, oldest first.

    Raises:
        ConfigurationError: The file cannot be read, or a line is not a record.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: cannot be read: {error}") from error
    return [_record(line, f"{file}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]


def table(records: Sequence[Record]) -> str:
    """Returns a Markdown table, a row for each record."""
    rows = [
        "| what | peer | ours, s | peer, s | times as fast (spread) | goal | results | machine |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *map(_row, records)])


def _row(record: Record) -> str:
    ratios = record.times.ratios
    machine = f"{record.hardware.get('processor')}, {record.hardware.get('cores')} cores"
    cells = (
        record.what,
        record.peer,
        f"{median(record.ours_seconds):.3g}",
        f"{median(record.peer_seconds):.3g}",
        f"**{record.times.ratio:.2f}** ({min(ratios):.2f}–{max(ratios):.2f}, {len(ratios)} rounds)",
        f"≥ {record.goal:g}",
        record.agreement,
        machine,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _record(line: str, where: str) -> Record:
    try:
        given = json.loads(line)
        record = Record(**{one.name: given[one.name] for one in fields(Record)})
        str(record)  # a record without rounds has no ratio
        return record
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigurationError(f"{where}: not a benchmark's record: {error}") from error
