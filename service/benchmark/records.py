"""Measurements as JSON lines: appended to a file, read back, made into a table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from service.benchmark.goals import Goal
from service.benchmark.machine import command, hardware, measured_versions
from service.config.errors import ConfigurationError


@dataclass(frozen=True)
class Record:
    """One measurement, most often a comparison of ours with a peer."""

    what: str
    """What was done."""
    peer: str
    """What ours was compared with; empty if nothing does the same."""
    ours: tuple[float, ...]
    """One value for each round."""
    peers: tuple[float, ...]
    """One value for each round; empty without a peer."""
    goal: Goal
    """What the figure should be."""
    agreement: str
    """How far the results are the same."""
    unit: str = "s"
    """Of the values: "s", "MiB" or "ms"; less is better."""
    command: str = field(default_factory=command)
    hardware: dict[str, Any] = field(default_factory=hardware)
    versions: dict[str, str] = field(default_factory=measured_versions)
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def figures(self) -> tuple[float, ...]:
        """What the goal bounds, round by round."""
        return self.goal.figures(self.ours, self.peers)

    def __str__(self) -> str:
        compared = {
            "times as fast": f" times as fast as {self.peer}",
            "share": f" of {self.peer}",
            "at most": f" {self.unit}",
        }[self.goal.kind]
        low, high, rounds = min(self.figures), max(self.figures), len(self.figures)
        return (
            f"{self.what}: {median(self.figures):.4g}{compared} "
            f"({low:.4g} to {high:.4g} in {rounds} rounds, goal {self.goal}: "
            f"{'met' if self.goal.met(self.figures) else 'missed'}); {self.agreement}"
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
    """Returns a Markdown table, a row for each record, and the machines it was measured on."""
    rows = [
        "| what | peer | ours | peer's | figure (spread) | goal | results |",
        "|---|---|---|---|---|---|---|",
        *map(_row, records),
    ]
    return "\n".join([*rows, "", *dict.fromkeys(map(_machine, records))])


def _row(record: Record) -> str:
    low, high = min(record.figures), max(record.figures)
    met = "" if record.goal.met(record.figures) else ", missed"
    peers = f"{median(record.peers):.3g} {record.unit}" if record.peers else "–"
    cells = (
        record.what,
        record.peer or "–",
        f"{median(record.ours):.3g} {record.unit}",
        peers,
        f"**{median(record.figures):.3g}** ({low:.3g}–{high:.3g}, {len(record.figures)} rounds)",
        f"{record.goal}{met}",
        record.agreement,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _machine(record: Record) -> str:
    found = record.hardware
    machine = f"{found.get('processor')}, {found.get('cores')} cores, {found.get('memory_gib')} GiB"
    accelerator = f", {found['accelerator']}" if "accelerator" in found else ""
    packages = ", ".join(f"{name} {number}" for name, number in sorted(record.versions.items()))
    return f"{machine}{accelerator}; {packages}"


def _record(line: str, where: str) -> Record:
    try:
        given = json.loads(line)
        record = Record(**{one.name: given[one.name] for one in fields(Record)} | _tuples(given))
        str(record)  # a record without rounds has no figure
        return record
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigurationError(f"{where}: not a benchmark's record: {error}") from error


def _tuples(given: dict[str, Any]) -> dict[str, Any]:
    """Returns what JSON has no types for."""
    return {
        "ours": tuple(given["ours"]),
        "peers": tuple(given["peers"]),
        "goal": Goal(**given["goal"]),
    }
