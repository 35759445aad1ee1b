"""Brings what a process writes in a folder to an object store, and what others write from there."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import Self

from service.storage.growing import Growing, bring_lines
from service.storage.object_store import NoSuchObjectError, ObjectRecord
from service.storage.working_copy import alone, place_of

EVERY = 3.0
"""Seconds between rounds."""

_LINES = ".jsonl"
"""Ending of files that only grow."""


def _nothing() -> None:
    pass


def _say_nothing(_text: str) -> None:
    pass


class Mirror:
    """Keeps a folder of a working copy and its store alike, file by file in one direction.

    A file whose name ends with `.jsonl` only grows; any other one is replaced whole. As a context
    manager it works in a thread, and once more at the end.

    Args:
        folder: The folder, which lies in a working copy.
        mine: Patterns of the files that this process writes, in the order in which they are brought
            to the store.
        theirs: Patterns of files at the top that others write.
        check: Raises where this process may write no more; asked before each round.
        tell: Takes a line for people; called in the thread.
        every: Seconds between rounds.

    Raises:
        ValueError: The folder lies in no working copy.
    """

    def __init__(
        self,
        folder: Path,
        mine: Sequence[str],
        theirs: Sequence[str] = (),
        check: Callable[[], None] = _nothing,
        tell: Callable[[str], None] = _say_nothing,
        every: float = EVERY,
    ) -> None:
        place = place_of(folder)
        if place is None:
            raise ValueError(f"{folder} is no copy of what lies in an object store")
        self._store, self._name = place
        self._folder = folder
        self._mine = mine
        self._theirs = theirs
        self._check = check
        self._tell = tell
        self._every = every
        self._lock = threading.Lock()
        self._growing: dict[Path, Growing] = {}
        self._pushed: dict[Path, tuple[int, int]] = {}
        self._brought: dict[str, ObjectRecord] = {}
        self._looked = False
        self._lost: Exception | None = None
        self._away_since: float | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._thread.join()

    def push(self) -> None:
        """Brings what this process wrote to the store.

        Raises:
            OSError: The store does not take it.
            Exception: What `check` raises.
        """
        with self._lock:
            self._check()
            if not self._looked:
                self._look()
            files = [file for pattern in self._mine for file in sorted(self._folder.glob(pattern))]
            # First, because a line may name a file that is written before it.
            sizes = {file: file.stat().st_size for file in files if file.suffix == _LINES}
            for file in self._present(files):
                if file in sizes:
                    self._growing_of(file).push(sizes[file])
                else:
                    self._push_whole(file)
            for file in self._pushed.keys() - set(files):
                self._store.delete([self._name_of(file)])
                del self._pushed[file]

    def bring(self) -> None:
        """Brings what others wrote from the store.

        Raises:
            OSError: The store cannot be read.
        """
        if not self._theirs:
            return
        entries = self._store.entries(self._name)
        found = {name: one for name, one in entries.items() if self._is_theirs(name)}
        with alone(self._folder):
            for name, record in found.items():
                if name.endswith(_LINES):
                    bring_lines(self._store, f"{self._name}/{name}", self._folder / name)
                elif record is not None and self._brought.get(name) != record:
                    self._bring_whole(name, record)
            for file in [path for path in self._folder.iterdir() if self._is_theirs(path.name)]:
                if file.name not in found and file.suffix != _LINES:
                    self._brought.pop(file.name, None)
                    file.unlink(missing_ok=True)

    def check(self) -> None:
        """Returns unless an earlier round found that this process may write no more.

        Raises:
            Exception: What the check then raised.
        """
        if self._lost is not None:
            raise self._lost

    def _run(self) -> None:
        self._round()
        last = False
        while not last and self._lost is None:
            last = self._closing.wait(self._every)
            self._round()

    def _round(self) -> None:
        try:
            self.push()
            self.bring()
        except OSError as error:
            if self._away_since is None:
                self._away_since = time.monotonic()
                self._tell(f"{error}; what is written is kept in {self._folder} meanwhile")
        except Exception as error:
            # Told by whoever asks next.
            self._lost = error
        else:
            if self._away_since is not None:
                seconds = time.monotonic() - self._away_since
                self._away_since = None
                self._tell(f"{self._store.address} answers again after {seconds:.0f} s")

    def _look(self) -> None:
        """Notes which files of folders are in the store already, from before a restart."""
        for top in {pattern.partition("/")[0] for pattern in self._mine if "/" in pattern}:
            for name, record in self._store.list(f"{self._name}/{top}").items():
                file = self._folder / name.removeprefix(f"{self._name}/")
                status = file.stat() if file.is_file() else None
                if status and status.st_size == record.size and status.st_mtime <= record.modified:
                    self._pushed[file] = (status.st_mtime_ns, status.st_size)
        self._looked = True

    def _present(self, files: Sequence[Path]) -> Iterator[Path]:
        """Yields files once each; hidden ones are still being written."""
        for file in dict.fromkeys(files):
            if file.is_file() and not file.name.startswith("."):
                yield file

    def _push_whole(self, file: Path) -> None:
        status = file.stat()
        now = status.st_mtime_ns, status.st_size
        if self._pushed.get(file) != now:
            self._store.upload(file, self._name_of(file))
            self._pushed[file] = now

    def _bring_whole(self, name: str, record: ObjectRecord) -> None:
        try:
            self._store.download(f"{self._name}/{name}", self._folder / name)
        except NoSuchObjectError:
            return
        self._brought[name] = record

    def _growing_of(self, file: Path) -> Growing:
        if file not in self._growing:
            self._growing[file] = Growing(self._store, self._name_of(file), file)
        return self._growing[file]

    def _is_theirs(self, name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in self._theirs)

    def _name_of(self, file: Path) -> str:
        return f"{self._name}/{file.relative_to(self._folder).as_posix()}"
