"""What a run was made with and from, kept in its folder: program, versions, configuration, data.

MLflow knows the same; this is for whoever has the folder alone.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service.config.redaction import redact
from service.tracking.request import DatasetSplit

USED = "used.jsonl"
"""File in the run folder: a line for each time the run went on with something else."""


@dataclass(frozen=True)
class Used:
    """What a run was made with from a moment on."""

    time: float
    """Since when, seconds since 1970."""
    config_digest: str
    """Digest of its configuration."""
    tags: dict[str, str]
    """Program, versions, user, Ray job, as MLflow's tags have them."""
    datasets: tuple[DatasetSplit, ...]
    """Its data."""


def keep_used(
    folder: Path, config_digest: str, tags: Mapping[str, str], datasets: Sequence[DatasetSplit]
) -> None:
    """Adds a line to the run folder, unless its last line says the same.

    Args:
        folder: The run folder.
        config_digest: Digest of the run's configuration.
        tags: Program, versions, user, Ray job, as MLflow's tags have them.
        datasets: Its data.

    Raises:
        OSError: The storage refuses.
    """
    told = {name: redact(text) for name, text in tags.items()}
    used = Used(time.time(), config_digest, told, tuple(datasets))
    fields = _fields(used)
    before = read_used(folder)
    if before and _without_time(_fields(before[-1])) == _without_time(fields):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / USED).open("ab") as file:
        # On a line of its own, also after one that a killed process left half written.
        start = b"\n" if file.tell() and not _ends_a_line(folder / USED) else b""
        file.write(start + json.dumps(fields, ensure_ascii=False).encode() + b"\n")


def read_used(folder: Path) -> list[Used]:
    """Returns what a run was made with, oldest first; damaged lines are left out."""
    try:
        lines = (folder / USED).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            found.append(_used(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return found


def _ends_a_line(file: Path) -> bool:
    return file.read_bytes().endswith(b"\n")


def _fields(used: Used) -> dict[str, Any]:
    splits = [{**asdict(split), "source": redact(split.source)} for split in used.datasets]
    return {**asdict(used), "datasets": splits}


def _without_time(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "time"}


def _used(fields: Any) -> Used:  # noqa: ANN401  # whatever the file holds
    return Used(
        float(fields["time"]),
        str(fields["config_digest"]),
        {str(name): str(text) for name, text in fields["tags"].items()},
        tuple(DatasetSplit(**split) for split in fields["datasets"]),
    )
