"""Which checkpoints something refers to: recipes, sweeps, turns, runs and models in MLflow.

Texts are searched, not understood: a checkpoint is named by its folder and the run's before it,
whatever stands around them and wherever the storage was when that was written. So more may be kept
than must be, and a damaged or foreign file protects as well as a whole one.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from service.config.showing import one_line
from service.inspection.folders import SWEEP_FILE, WEIGHTS, Contents, Place, files_below
from service.inspection.ledgers import LEDGER

_CHECKPOINT = re.compile(r"([^/\\:'\"]+)[/\\]+(step_\d{8,})")
_FETCHED = re.compile(rf"{WEIGHTS}[/\\]+([0-9a-f]{{16}})")
_LARGEST = 16 << 20  # bytes

_NAMES = frozenset({"config.yaml", SWEEP_FILE, "best.yaml", LEDGER})


class References:
    """What is referred to.

    Args:
        texts: Texts in which checkpoints may be named.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._checkpoints: set[tuple[str, str]] = set()
        self._fetched: set[str] = set()
        for text in texts:
            # YAML breaks long lines at spaces.
            line = " ".join(text.split())
            self._checkpoints.update(_CHECKPOINT.findall(line))
            self._fetched.update(_FETCHED.findall(line))

    def name(self, checkpoint: Path) -> bool:
        """Tells whether something refers to a checkpoint."""
        parent = " ".join(checkpoint.parent.name.split())
        return any(
            # What was found begins earlier in a sentence, and later after a sign of the name's.
            step == checkpoint.name and (run.endswith(parent) or parent.endswith(run))
            for run, step in self._checkpoints
        )

    def name_fetched(self, folder: Path) -> bool:
        """Tells whether something refers to weights that were fetched into a folder."""
        return folder.name in self._fetched


def texts_of(contents: Contents, unread: list[str]) -> Iterator[str]:
    """Yields the texts of a storage folder in which checkpoints may be named.

    Args:
        contents: What lies in it.
        unread: Is given a line for each file that cannot be read, or is too large.
    """
    for file in _files(contents.places):
        try:
            if file.stat().st_size > _LARGEST:
                unread.append(f"{one_line(file)}: too large to be searched")
                continue
            yield file.read_text("utf-8", errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            unread.append(f"{one_line(file)}: {error.strerror}")


def _files(places: Iterable[Place]) -> Iterator[Path]:
    for place in places:
        for name in _NAMES:
            if (place.folder / name).exists():
                yield place.folder / name
        yield from (Path(entry.path) for entry in files_below(place.folder / "turns"))
