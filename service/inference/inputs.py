"""Which pictures a prediction is asked for."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.config.errors import ConfigurationError
from service.data.packing import PackedStrings
from service.data.pictures import PICTURE_SUFFIXES, is_picture


def listed_pictures(inputs: Sequence[Path], lists: Sequence[Path], output: Path) -> PackedStrings:
    """Returns the paths of all pictures, in the order given; those of a folder are sorted.

    Folders are searched to any depth, through links too, but never in `output`, where an earlier
    call may have left pictures. A file that is named counts as a picture whatever its ending.

    Args:
        inputs: Pictures and folders.
        lists: Text files with a path in each line, relative to the current folder. A path that
            leads nowhere is left for the reader to report.
        output: Folder of the results.

    Raises:
        ConfigurationError: An input or list does not exist, or there is no picture.
    """
    for path in inputs:
        if not path.exists():
            raise ConfigurationError(f"{path}: no such file or folder; give pictures or folders")
    everything = [*inputs, *(path for file in lists for path in _lines(file))]
    if not everything:
        raise ConfigurationError("no pictures are given; name pictures or folders, or use --list")
    own = output.resolve()
    found = PackedStrings.pack(str(path) for one in everything for path in _pictures(one, own))
    if not len(found):
        where = ", ".join(map(str, [*inputs, *lists][:3]))
        raise ConfigurationError(f"{where}: no pictures ({', '.join(PICTURE_SUFFIXES)}) there")
    return found


def _lines(file: Path) -> list[Path]:
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ConfigurationError(
            f"--list: {file}: {error.strerror}; name a text file with a path in each line"
        ) from error
    if "\0" in text:
        raise ConfigurationError(
            f"--list: {file}: is no text; name a text file with a path in each line"
        )
    return [Path(line) for line in text.splitlines() if line.strip()]


def _pictures(path: Path, output: Path) -> Iterator[Path]:
    """Yields a picture, or those of a folder."""
    if not path.is_dir():
        if path.resolve().is_relative_to(output):
            raise ConfigurationError(f"{path}: lies in --output; give another folder for results")
        yield path
        return
    seen: set[tuple[int, int]] = set()
    for folder, inner, files in os.walk(path, followlinks=True, onerror=_unlisted):
        status = os.stat(folder)
        # Links may form loops, and may show one folder twice.
        known = (status.st_dev, status.st_ino) in seen
        seen.add((status.st_dev, status.st_ino))
        if known or Path(folder).resolve().is_relative_to(output):
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(files) if is_picture(name))


def _unlisted(error: OSError) -> None:
    raise ConfigurationError(f"{error.filename}: cannot be listed ({error.strerror})") from error
