"""Sweeps by name: making, finding and continuing them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.config.errors import ConfigurationError
from service.config.loading import read_mapping, to_yaml
from service.config.sweep_files import SweepFile
from service.storage.atomic import whole_file
from service.storage.working_copy import bring, bring_each, store_answering, told

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
    with store_answering():
        bring(folder / CONFIG)
    return (folder / CONFIG).is_file()


def newest(storage: Path) -> str:
    """Returns the name of the sweep that was started or continued last.

    Raises:
        ConfigurationError: There is none.
    """
    with store_answering():
        bring_each(storage, CONFIG)
    found = sorted(storage.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigurationError(
            f"--resume: no sweep in {told(storage)}; start one without --resume"
        )
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
    begun = _fixed(read_mapping(folder / CONFIG))
    now = _fixed(config.model_dump(mode="json"))
    # A kind before the fields that come and go with it.
    for path in sorted(
        begun.keys() | now.keys(), key=lambda path: (not path.endswith("kind"), path)
    ):
        if begun.get(path) != now.get(path):
            raise ConfigurationError(
                f"{path}: the sweep {folder.name} began with {begun.get(path)} (got "
                f"{now.get(path)}); resume with the same, or start a new sweep under another name"
            )


def _fixed(tree: dict[str, Any]) -> dict[str, Any]:
    """Returns what must stay: the values by their dotted paths."""
    sweep = tree.get("sweep")
    sections = sweep if isinstance(sweep, dict) else {}
    search = {key: value for key, value in sections.items() if key not in _FREE_FIELDS}
    kept = {key: value for key, value in tree.items() if key not in _FREE_SECTIONS}
    return dict(_leaves({**kept, "sweep": search}, ""))


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # a tree of YAML
    if not isinstance(tree, dict):
        yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
