"""What a preparation has finished so far, so that a killed one goes on where it was."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.config.errors import ConfigurationError
from service.data.preparing.shard import Part, Written
from service.data.shards import UNFINISHED
from service.storage.atomic import whole_file

_PLAN = "plan.json"


class Ledger:
    """A hidden folder of the output with a file for each finished shard.

    Args:
        output: The output.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self._folder = output / UNFINISHED

    @contextmanager
    def opened(self, plan: Mapping[str, Any]) -> Iterator[None]:
        """Begins a preparation or goes on with one; nobody else does at the same time.

        Raises:
            ConfigurationError: The output holds something else, was begun otherwise, or is being
                written.
        """
        if self._output.is_dir() and any(self._output.iterdir()) and not self._folder.is_dir():
            raise ConfigurationError(
                f"{self._output} exists and is no unfinished preparation of these pictures; "
                "remove it or write elsewhere"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigurationError(
                    f"{self._output} is being written by another process; wait for it"
                ) from error
            self._check(plan)
            self._remove_remains()
            yield

    def finished(self, part: Part) -> Written | None:
        """Returns what a shard holds that was finished before."""
        shard, note = self._output / part.name, self._note(part)
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
            skipped = {int(index): text for index, text in found.pop("skipped").items()}
            written = Written(**found, skipped=skipped)
            return written if shard.stat().st_size == written.size else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            # Not there, or not whole: it is written again.
            return None

    def note(self, part: Part, written: Written) -> None:
        """Takes note of a shard that is in its place."""
        _write_json(self._note(part), asdict(written))

    def close(self) -> None:
        """Removes the folder: the output is complete."""
        shutil.rmtree(self._folder)

    def _note(self, part: Part) -> Path:
        return self._folder / f"{part.split}-{part.number:06d}.json"

    def _check(self, plan: Mapping[str, Any]) -> None:
        path = self._folder / _PLAN
        if not path.exists():
            _write_json(path, plan)
            return
        try:
            begun = json.loads(path.read_text(encoding="utf-8"))
            differing = [name for name, value in plan.items() if begun.get(name) != value]
        except (OSError, ValueError, AttributeError) as error:
            raise ConfigurationError(
                f"{path}: cannot be read ({error}); remove {self._output}"
            ) from error
        if differing:
            name = differing[0]
            raise ConfigurationError(
                f"{self._output} was begun with {name} {begun.get(name)}, not {plan[name]}; "
                "give the same, or write elsewhere"
            )

    def _remove_remains(self) -> None:
        """Removes what a killed process left half written."""
        for remains in self._output.glob("*/.*.tar"):
            remains.unlink()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content), encoding="ascii")
