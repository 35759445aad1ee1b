"""What lies in a run folder's journals and has not been delivered yet."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from service.storage.atomic import whole_file
from service.tracking.artifacts import ARTIFACTS_JOURNAL
from service.tracking.journal import METRICS_JOURNAL, system_journal
from service.tracking.records import ArtifactRecord, MetricRecord, scan_records

logger = logging.getLogger(__name__)

CURSOR = "delivered.json"
"""File in the run folder that says up to where each journal was delivered, and to which run."""

LARGEST_BATCH = 1000
"""Rows that MLflow takes in one request."""


class Row(NamedTuple):
    """One value of one metric, as MLflow stores it."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class Batch:
    """Rows to be sent together."""

    rows: list[Row]
    """In the order of their journals."""
    ends: dict[str, int]
    """Byte up to which each journal is read once the rows are sent."""


@dataclass(frozen=True)
class PendingFile:
    """A file to be sent."""

    path: str | None
    """Where it lies below the run's folder of files; None where only damaged lines were left."""
    ends: dict[str, int]
    """Byte up to which the journal of files is read once the file is sent."""


def journals(folder: Path) -> list[Path]:
    """Returns the journals of metrics: the training process's, then those of the nodes."""
    return [
        path
        for pattern in (METRICS_JOURNAL, system_journal("*"))
        for path in sorted(folder.glob(pattern))
    ]


class Outbox:
    """The undelivered part of a run folder's journals.

    The cursor is renamed into place after each batch and each file. A process killed between
    sending and renaming sends that again: rows with the same times, which MLflow stores once, and a
    file under the same name. A cursor that belongs to another run counts from the start: a new run
    gets the whole history.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder
        self._run_id = run_id
        cursor = read_cursor(folder)
        ends = cursor.ends if cursor.run_id == run_id else {}
        self._ends = {name: end for name, end in ends.items() if _is_line_start(folder / name, end)}

    def next_batch(self, largest: int = LARGEST_BATCH) -> Batch | None:
        """Returns what follows what was confirmed, if anything does.

        Args:
            largest: Most rows, 1 to 1000; a record that has more is a batch of its own.
        """
        rows: list[Row] = []
        ends: dict[str, int] = {}
        for journal in journals(self._folder):
            for record, end in scan_records(journal, self._ends.get(journal.name, 0)):
                if isinstance(record, MetricRecord):
                    if rows and len(rows) + len(record.metrics) > largest:
                        return Batch(rows, ends)
                    rows += [
                        Row(name, value, record.time, record.step)
                        for name, value in record.metrics.items()
                    ]
                ends[journal.name] = end
        return Batch(rows, ends) if ends else None

    def next_file(self) -> PendingFile | None:
        """Returns the oldest file after what was confirmed, if any."""
        ends: dict[str, int] = {}
        start = self._ends.get(ARTIFACTS_JOURNAL, 0)
        for record, end in scan_records(self._folder / ARTIFACTS_JOURNAL, start):
            ends = {ARTIFACTS_JOURNAL: end}
            if isinstance(record, ArtifactRecord):
                return PendingFile(record.path, ends)
        return PendingFile(None, ends) if ends else None

    def confirm(self, sent: Batch | PendingFile) -> None:
        """Moves the cursor behind what was sent."""
        self._ends |= sent.ends
        # A thread that was left behind in a hanging request may come here beside its successor.
        with whole_file(self._folder / CURSOR) as partial:
            partial.write_text(json.dumps({"run_id": self._run_id, "ends": self._ends}))


@dataclass(frozen=True)
class Cursor:
    """Up to where journals were delivered."""

    run_id: str | None
    """MLflow's name for the run they were delivered to; None before the first delivery."""
    ends: dict[str, int]
    """Byte after the last delivered line, by journal name."""


def read_cursor(folder: Path) -> Cursor:
    """Reads how much of a run folder was delivered; a damaged file is logged and says nothing."""
    path = folder / CURSOR
    try:
        fields = json.loads(path.read_text())
        return Cursor(str(fields["run_id"]), {str(k): int(v) for k, v in fields["ends"].items()})
    except FileNotFoundError:
        return Cursor(None, {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s is damaged (%r): everything is sent again", path, error)
        return Cursor(None, {})


def count_undelivered(folder: Path) -> int:
    """Returns how many records of metrics in a run folder were not delivered."""
    ends = read_cursor(folder).ends
    return sum(
        isinstance(record, MetricRecord)
        for journal in journals(folder)
        for record, _ in scan_records(journal, ends.get(journal.name, 0))
    )


def count_undelivered_files(folder: Path) -> int:
    """Returns how many files in a run folder were not delivered."""
    return len(undelivered_files(folder))


def undelivered_files(folder: Path) -> list[str]:
    """Returns where the files that were not delivered lie below the run's folder of files."""
    start = read_cursor(folder).ends.get(ARTIFACTS_JOURNAL, 0)
    records = scan_records(folder / ARTIFACTS_JOURNAL, start)
    return [record.path for record, _ in records if isinstance(record, ArtifactRecord)]


def _is_line_start(journal: Path, offset: int) -> bool:
    """Returns whether a byte follows the end of a line; it may not after a power cut."""
    if offset <= 0:
        return offset == 0
    try:
        with journal.open("rb") as file:
            file.seek(offset - 1)
            return file.read(1) == b"\n"
    except FileNotFoundError:
        return False
