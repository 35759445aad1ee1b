"""The folder of a program's results: nothing outside of it is written, and no file in part."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from service.config.errors import ConfigurationError

LINES = "predictions.jsonl"
TABLE = "predictions.csv"
IMAGES = "images.json"
PICTURES = "pictures"


@dataclass(frozen=True)
class Results:
    """What a program leaves in a folder."""

    name: str
    """What people call it."""
    marks: tuple[str, ...]
    """Files by one of which an earlier call's results are known."""
    others: tuple[str, ...]
    """Files that may be beside them."""


PREDICTIONS = Results(
    "predictions",
    (LINES, TABLE),
    (IMAGES, "detections_box.json", "detections_mask.json", PICTURES),
)

_STEM = 50  # letters of a file's name that a drawn picture keeps
_DRAWN = re.compile(r"\d{6,}_.*\.png", re.DOTALL)


@dataclass(frozen=True)
class Drawn:
    """A picture for people."""

    name: str
    """What `picture_name` returned."""
    content: bytes
    """PNG."""

    def write(self, folder: Path) -> None:
        """Writes it to its place among a program's results."""
        (folder / PICTURES).mkdir(exist_ok=True)
        (folder / PICTURES / self.name).write_bytes(self.content)


def picture_name(number: int, file: str) -> str:
    """Returns what a drawn picture is called: 000001_photo.png.

    Args:
        number: Place of its file among all, from 1.
        file: Path of its file.
    """
    return f"{number:06d}_{Path(file).stem[:_STEM]}.png"


class OutputFolder:
    """Collects results in a hidden folder inside; they get their names when all are there.

    As a context manager it gives the folder to write to. After an error nothing is left.

    Args:
        folder: Where results shall be.
        results: What they are.
        overwrite: Whether an earlier call's results may be replaced. Files that are none of these
            are never touched.

    Raises:
        ConfigurationError: There is something else, or there are results and they may not be
            replaced.
    """

    def __init__(self, folder: Path, results: Results, *, overwrite: bool) -> None:
        self._folder = folder
        self._results = results
        self._unfinished = folder / f".unfinished-{uuid4().hex}"
        _check(folder, results, overwrite=overwrite)

    def __enter__(self) -> Self:
        self._new = not self._folder.exists()
        try:
            self._unfinished.mkdir(parents=True)
        except OSError as error:
            raise ConfigurationError(
                f"--output: {self._folder}: cannot be written ({error.strerror}); give another"
            ) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self.discard()
        if self._unfinished.is_dir():
            self._finish()

    @property
    def path(self) -> Path:
        """The folder to write to."""
        return self._unfinished

    def discard(self) -> None:
        """Gives all results up."""
        shutil.rmtree(self._unfinished)
        if self._new:
            self._folder.rmdir()

    def _finish(self) -> None:
        for name in (*self._results.marks, *self._results.others):
            _remove(self._folder / name)
        for made in sorted(self._unfinished.iterdir()):
            target = self._folder / made.name
            # A folder that stays holds files that are none of ours.
            if target.is_dir():
                for file in made.iterdir():
                    file.rename(target / file.name)
                made.rmdir()
            else:
                made.rename(target)
        self._unfinished.rmdir()


def _remove(there: Path) -> None:
    """Removes a result of an earlier call; of a folder only what was drawn, and it if empty."""
    if there.name != PICTURES:
        there.unlink(missing_ok=True)
        return
    if there.is_dir():
        for file in [one for one in there.iterdir() if _DRAWN.fullmatch(one.name)]:
            file.unlink()
        if not any(there.iterdir()):
            there.rmdir()


def _check(folder: Path, results: Results, *, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigurationError(f"--output: {folder}: is no folder; give another name")
    if not any(folder.iterdir()):
        return
    if not any((folder / name).is_file() for name in results.marks):
        raise ConfigurationError(
            f"--output: {folder}: holds other files; give a folder that is empty or not there"
        )
    if not overwrite:
        raise ConfigurationError(
            f"--output: {folder}: holds {results.name}; give another folder, or add --overwrite"
        )
