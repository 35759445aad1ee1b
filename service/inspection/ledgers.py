"""What a sweep's ledger tells, read without opening it for writing as its driver does."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

LEDGER = "trials.jsonl"
"""File of a sweep's folder."""

Mode = Literal["max", "min"]
"""Whether a larger or a smaller value is better."""

Told = Literal["running", "finished", "killed", "failed"]
"""What a ledger says of a trial; killed: it was stopped early."""

_TOLD: dict[str, Told] = {"finished": "finished", "stopped": "killed", "failed": "failed"}


@dataclass(frozen=True)
class TrialTold:
    """What a sweep says of a trial."""

    status: Told | None
    """How it stands; None if the sweep does not know it."""
    reason: str | None
    """Why it ended early."""
    epoch: float | None
    """Epochs it had done at its last result."""


@dataclass(frozen=True)
class Tally:
    """A sweep in numbers."""

    trials: int
    """Trials that were begun."""
    running: int
    """Trials that have not ended."""
    epochs: float
    """Epochs of all trials together."""
    best: float | None
    """Best value of any trial."""
    last: float | None
    """Value that came in last."""


def ledger_events(sweep: Path) -> Iterator[dict[str, Any]]:
    """Yields what happened in a sweep; half-written and damaged lines are left out."""
    try:
        lines = (sweep / LEDGER).read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def told_of_trial(sweep: Path, number: int) -> TrialTold:
    """Returns what a sweep says of a trial.

    Args:
        sweep: Its folder.
        number: The trial's number.
    """
    status: Told | None = None
    reason, epoch = None, None
    for event in ledger_events(sweep):
        if event.get("trial") != number:
            continue
        status = _TOLD.get(str(event.get("status")), status or "running")
        if event.get("event") == "result":
            epoch = _number(event.get("epoch"))
        if isinstance(event.get("reason"), str):
            reason = str(event["reason"])
    return TrialTold(status, reason, epoch)


def tally(sweep: Path, mode: Mode) -> Tally:
    """Counts what a sweep holds.

    Args:
        sweep: Its folder.
        mode: Whether a larger or a smaller value is better.
    """
    begun: set[int] = set()
    ended: set[int] = set()
    epochs: dict[int, float] = {}
    values: list[float] = []
    for event in ledger_events(sweep):
        number = event.get("trial")
        if not isinstance(number, int):
            continue
        match event.get("event"):
            case "proposed":
                begun.add(number)
            case "ended":
                ended.add(number)
            case "result":
                epochs[number] = _number(event.get("epoch"))
                values.append(_number(event.get("value")))
    best = (max(values) if mode == "max" else min(values)) if values else None
    return Tally(
        len(begun), len(begun - ended), sum(epochs.values()), best, values[-1] if values else None
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
