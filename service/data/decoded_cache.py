"""Decoded pictures on disk, so that workers and restarts do not decode them again."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.config.errors import ConfigurationError
from service.data.decoded import DecodedPictures
from service.data.saved_arrays import UNUSABLE
from service.storage.atomic import whole_file

_FORMAT = 1
_logger = logging.getLogger(__name__)

DecodedSplits = tuple[DecodedPictures, DecodedPictures]
"""Training and evaluation pictures."""


def decoded_once(
    name: str, files: Sequence[Path], cache: Path, decode: Callable[[], DecodedSplits]
) -> DecodedSplits:
    """Returns what `decode` makes of the files, from the cache where they are unchanged.

    The cached file's name covers the paths, sizes and times of change of all files; its content is
    checked against its checksums. Where it cannot be written, the pictures stay in memory.

    Args:
        name: Name of the data set; the cached file's name starts with it.
        files: The files that `decode` reads.
        cache: Folder of the cache; made where it is missing.
        decode: Reads the files.

    Raises:
        ConfigurationError: A file cannot be looked at, or `decode` raises one.
    """
    path = cache / f"{name}-{_digest(files)}.npz"
    if path.exists():
        try:
            return _load(path)
        except UNUSABLE as error:
            _logger.warning("%s cannot be used and is made again: %s", path, error)
    splits = decode()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _save(path, splits)
    except OSError as error:
        _logger.info("the pictures of %s are kept in memory: %s", name, error)
    return splits


def _digest(files: Sequence[Path]) -> str:
    """Returns 16 hexadecimal digits that change when a file does."""
    content = hashlib.blake2b(digest_size=8)
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise ConfigurationError(f"data.root: {file}: {error.strerror}") from error
        stamp = f"{file.absolute()}\0{status.st_size}\0{status.st_mtime_ns}\0"
        content.update(stamp.encode(errors="surrogateescape"))
    return content.hexdigest()


def _save(path: Path, splits: DecodedSplits) -> None:
    """Writes the file; it appears whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {}
    for split, pictures in zip(("train", "evaluation"), splits, strict=True):
        arrays[f"{split}_pictures"] = pictures.pictures
        arrays[f"{split}_labels"] = pictures.labels
        arrays[f"{split}_source"] = np.array(pictures.source)
    arrays["classes"] = np.array(splits[0].classes)
    arrays["format"] = np.array(_FORMAT)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _load(path: Path) -> DecodedSplits:
    """Reads the file; raises one of `UNUSABLE` if it is damaged or of another format."""
    # np.load given a path leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
        if saved["format"] != _FORMAT:
            raise ValueError(f"it has format {saved['format']}, not {_FORMAT}")
        classes = tuple(saved["classes"].tolist())
        train, evaluation = (
            DecodedPictures(
                saved[f"{split}_pictures"],
                saved[f"{split}_labels"],
                classes,
                str(saved[f"{split}_source"]),
            )
            for split in ("train", "evaluation")
        )
    return train, evaluation
