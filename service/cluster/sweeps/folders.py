"""Sweeps by name: making, finding and continuing them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from service.config.errors import ConfigurationError
from service.config.loading import to_yaml
from service.config.sweep_files import SweepFile
from service.data.atomic import whole_file

CONFIG = "sweep.yaml"
_LEDGER = "trials.jsonl"

# What may be different when a sweep goes on: its size and what it runs on.
_FREE_SECTIONS = ("cluster", "tracking", "storage", "name")
_FREE_FIELDS = ("trials", "budget", "concurrent_trials", "keep")


def new_name(search: str) -> str:
    """Returns a name that says what and when: `sweep-tpe-20260131-235959`."""
    return f"sweep-{search}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def exists(folder: Path) -> bool:
    """Tells whether a sweep was begun in the folder."""
    return (folder / CONFIG).is_file()


def newest(storage: Path) -> str:
    """Returns the name of the sweep that was started or continued last.

    Raises:
        ConfigurationError: There is none.
    """
    found = sorted(storage.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigurationError(f"--resume: no sweep in {storage}; start one without --resume")
    return found[-1].parent.name


def ledger(storage: Path, config: SweepFile) -> Path:
    """Returns the file that holds what happened in a sweep."""
    return storage / str(config.name) / _LEDGER


def tune_folder(folder: Path) -> Path:
    """Returns where Ray Tune keeps what it needs while the driver lives."""
    return folder / ".tune"


def record(folder: Path, config: SweepFile) -> None:
    """Keeps the sweep file, for `--resume` and for people."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / CONFIG) as unfinished:
        unfinished.write_text(to_yaml(config), encoding="utf-8")


def check_resumable(folder: Path, config: SweepFile) -> None:
    """Checks that a sweep goes on with the same recipe, space, search and scheduler.

    Raises:
        ConfigurationError: Something that must stay has changed.
    """
    begun = _fixed(yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")))
    now = _fixed(config.model_dump(mode="json"))
    for path in sorted(begun.keys() | now.keys()):
        if begun.get(path) != now.get(path):
            raise ConfigurationError(
                f"{path}: the sweep {folder.name} began with {begun.get(path)} (got "
                f"{now.get(path)}); resume with the same, or start a new sweep under another name"
            )


def _fixed(tree: dict[str, Any]) -> dict[str, Any]:
    """Returns the sections that must stay, those of the search one by one."""
    kept = {key: value for key, value in tree.items() if key not in (*_FREE_SECTIONS, "sweep")}
    search = tree["sweep"].items()
    return kept | {f"sweep.{key}": value for key, value in search if key not in _FREE_FIELDS}
