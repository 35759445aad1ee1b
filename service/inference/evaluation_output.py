"""The file of an evaluation's figures, and the folder of its tables and pictures beside it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from service.config.errors import ConfigurationError
from service.storage.atomic import whole_file, whole_folder

_FIGURES = "figures.json"


class FiguresOutput:
    """Where the figures go.

    Args:
        file: Where they shall be; None keeps nothing.
        overwrite: Whether an earlier evaluation may be replaced.

    Raises:
        ConfigurationError: The file cannot be written there, or something else is there.
    """

    def __init__(self, file: Path | None, *, overwrite: bool) -> None:
        self._file = file
        if file is not None:
            _check(file, overwrite=overwrite)

    def write(self, content: dict[str, Any], files: Path) -> str | None:
        """Writes the figures to the file and among the tables and pictures, which are copied.

        Args:
            content: What was found; JSON.
            files: Folder of the tables and pictures.

        Returns:
            A line that says where, if they are kept.
        """
        text = json.dumps(content, indent=2) + "\n"
        (files / _FIGURES).write_text(text, encoding="utf-8")
        if self._file is None:
            return None
        beside = _beside(self._file)
        shutil.rmtree(beside, ignore_errors=True)
        with whole_folder(beside) as partial:
            shutil.copytree(files, partial, dirs_exist_ok=True)
        with whole_file(self._file) as partial:
            partial.write_text(text, encoding="utf-8")
        return f"written to {self._file}, with tables and pictures in {beside}"


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.stem}-files")


def _check(file: Path, *, overwrite: bool) -> None:
    if file.is_dir() or not file.parent.is_dir():
        what = "is a folder" if file.is_dir() else f"there is no folder {file.parent}"
        raise ConfigurationError(f"--output: {file}: {what}; give a file in a folder")
    if not os.access(file.parent, os.W_OK):
        raise ConfigurationError(f"--output: {file.parent} cannot be written; give another folder")
    # Only what this program wrote may be replaced: beside files that it did not write, neither.
    for there in (file, _beside(file)):
        if there.exists() and not (overwrite and _is_own(file)):
            raise ConfigurationError(
                f"--output: {there} is there; give another name, or add --overwrite if an "
                "evaluation wrote it"
            )


def _is_own(file: Path) -> bool:
    """Returns whether a file is of an earlier evaluation."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"figures", "checkpoint"} <= content.keys()
