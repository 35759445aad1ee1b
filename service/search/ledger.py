"""What happened in a sweep, one line of JSON each, so that another driver can go on."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.config.errors import ConfigurationError
from service.search.trials import Change, Point, Result, Status, Trial


def kept_on_disk() -> None:
    """Does nothing: what is on disk is kept."""


class Ledger:
    """The trials of a sweep, in memory and, at once, on disk.

    What the file holds is replayed when the ledger is opened; a last line that a killed driver
    left half written is cut off.

    Args:
        file: The ledger's file.
        keep: Called once a line is in the file; what it raises ends the sweep.

    Raises:
        ConfigurationError: The file is damaged before its last line.
    """

    def __init__(self, file: Path, keep: Callable[[], None] = kept_on_disk) -> None:
        self._file = file
        self._keep = keep
        self._trials: dict[int, Trial] = {}
        self.elapsed = 0.0
        """Seconds that the sweep had run at the last result."""
        for number, line in enumerate(_whole_lines(file), 1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError):
                raise ConfigurationError(
                    f"{file}: line {number} is damaged; restore the file, or start a new sweep "
                    "under another name"
                ) from None

    @property
    def trials(self) -> list[Trial]:
        """All trials, in the order of proposal."""
        return list(self._trials.values())

    def __getstate__(self) -> dict[str, Any]:
        # Tune keeps records of what follows a sweep; nobody goes on from them.
        return {**self.__dict__, "_keep": kept_on_disk}

    def __getitem__(self, number: int) -> Trial:
        return self._trials[number]

    @property
    def epochs(self) -> float:
        """Epochs over all trials."""
        return sum(trial.epochs for trial in self._trials.values())

    def propose(self, point: Point) -> Trial:
        """Adds a trial."""
        number = len(self._trials) + 1
        self._record({"event": "proposed", "trial": number, "point": point})
        return self._trials[number]

    def add_result(self, number: int, result: Result) -> None:
        """Adds an evaluation of a trial."""
        self._record({"event": "result", "trial": number, **vars(result)})

    def change(self, number: int, change: Change) -> None:
        """Gives a trial the state of another one and new values."""
        self._record({"event": "changed", "trial": number, **vars(change)})

    def end(
        self, number: int, status: Status, reason: str | None, facts: Mapping[str, str]
    ) -> None:
        """Ends a trial."""
        ending = {"status": status, "reason": reason, "facts": dict(facts)}
        self._record({"event": "ended", "trial": number, **ending})

    def _record(self, event: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._keep()
        self._apply(event)

    def _apply(self, event: Mapping[str, Any]) -> None:
        number = event["trial"]
        match event["event"]:
            case "proposed":
                self._trials[number] = Trial(number, dict(event["point"]))
            case "result":
                result = Result(*(float(event[name]) for name in _RESULT))
                trial = self._trials[number]
                self._trials[number] = replace(trial, results=(*trial.results, result))
                self.elapsed = max(self.elapsed, result.at)
            case "changed":
                change = Change(event["epoch"], event["source"], dict(event["point"]))
                trial = self._trials[number]
                changes = (*trial.changes, change)
                self._trials[number] = replace(trial, changes=changes, point=change.point)
            case "ended":
                ending = {name: event[name] for name in ("status", "reason", "facts")}
                self._trials[number] = replace(self._trials[number], **ending)
            case other:
                raise ValueError(f"{other} is no event")


_RESULT = ("epoch", "value", "at", "seconds")


def _whole_lines(file: Path) -> list[bytes]:
    """Returns the lines, without a last one that is not whole, which is cut off the file."""
    if not file.exists():
        return []
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with file.open("r+b") as ledger:
            ledger.truncate(len(whole))
    return whole.splitlines()
