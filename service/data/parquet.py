"""CIFAR in Parquet files, as the data sets `uoft-cs/cifar10` and `uoft-cs/cifar100` have it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from service.config.errors import ConfigurationError
from service.config.showing import is_unicode
from service.data.decoded import SIDE, DecodedPictures
from service.data.decoded_cache import DecodedSplits
from service.data.decoding import DamagedPictureError, decode

_LABELS = ("label", "fine_label")
_ROWS_AT_ONCE = 1000
_MOST_CLASSES = 1000
_MOST_ROWS = 10_000_000


def parquet_files(root: Path, split: str) -> list[Path]:
    """Returns the files of a split, `<split>-*.parquet`, sorted.

    Raises:
        ConfigurationError: There are none.
    """
    files = sorted(root.glob(f"{split}-*.parquet"))
    if not files:
        raise ConfigurationError(
            f"data.root: no {split}-*.parquet in {root}; expected files such as "
            f"{split}-00000-of-00001.parquet of the data set uoft-cs/cifar10"
        )
    return files


def read_parquet(root: Path) -> DecodedSplits:
    """Reads and decodes both splits.

    The names of the classes come from the metadata that Hugging Face writes into the schema;
    without it they are the labels as text.

    Raises:
        ConfigurationError: Files or columns are missing, a file or a picture is damaged, a picture
            is not 32 × 32, or evaluation has a label that training lacks; names file and row.
    """
    train, evaluation = (
        [_File(path) for path in parquet_files(root, split)] for split in ("train", "test")
    )
    pictures, labels = _read(train)
    classes = train[0].classes or tuple(map(str, range(int(labels.max(initial=-1)) + 1)))
    return (
        DecodedPictures(pictures, labels, classes, str(root / "train-*.parquet")),
        DecodedPictures(*_read(evaluation), classes, str(root / "test-*.parquet")),
    )


class _File:
    """One file, its columns known to be those of CIFAR.

    Attributes:
        path: The file.
        rows: Number of pictures.
        classes: Names of the classes in the order of the labels; empty if the file has none.

    Raises:
        ConfigurationError: It is damaged or lacks a column.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from error
        self.rows: int = self._file.metadata.num_rows
        if not 0 <= self.rows <= _MOST_ROWS:
            raise ConfigurationError(f"{path}: declares {self.rows} rows; at most {_MOST_ROWS}")
        self._label = self._label_column()
        self.classes = self._class_names()

    def content(self) -> Iterator[tuple[bytes, int]]:
        """Yields each encoded picture with its label.

        Raises:
            ConfigurationError: The file is damaged, or a row holds no picture or no label.
        """
        done = 0
        try:
            for batch in self._file.iter_batches(_ROWS_AT_ONCE, columns=["img.bytes", self._label]):
                pictures = batch.column("img").field("bytes").to_pylist()
                labels = batch.column(self._label).to_pylist()
                for row, (picture, label) in enumerate(zip(pictures, labels, strict=True), done):
                    if picture is None or label is None or not 0 <= label < _MOST_CLASSES:
                        raise self.unusable(
                            row, "it has no bytes" if picture is None else f"its label is {label}"
                        )
                    yield picture, label
                done += len(batch)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from error

    def unusable(self, row: int, reason: object) -> ConfigurationError:
        """Returns the error for a row that cannot be used."""
        return ConfigurationError(f"{self.path}: the picture in row {row} cannot be used: {reason}")

    def _label_column(self) -> str:
        """Returns the name of the column of labels; raises if it or the pictures are not there."""
        schema = self._file.schema_arrow
        types = dict(zip(schema.names, schema.types, strict=True))
        found = f"; its columns are {', '.join(types)}"
        picture = types.get("img", pa.null())
        if not pa.types.is_struct(picture) or picture.get_field_index("bytes") < 0:
            raise ConfigurationError(f"{self.path}: has no column img{{bytes, path}}{found}")
        if not pa.types.is_binary(picture.field("bytes").type):
            raise ConfigurationError(f"{self.path}: img.bytes holds {picture.field('bytes').type}")
        for name in _LABELS:
            if pa.types.is_integer(types.get(name, pa.null())):
                return name
        raise ConfigurationError(
            f"{self.path}: has no column {' or '.join(_LABELS)} of whole numbers{found}"
        )

    def _class_names(self) -> tuple[str, ...]:
        """Returns what Hugging Face's metadata says; nothing where there are none."""
        metadata = self._file.schema_arrow.metadata or {}
        try:
            described = json.loads(metadata.get(b"huggingface", b"{}"))
            names = described["info"]["features"][self._label]["names"]
        except (KeyError, TypeError):
            return ()
        except (ValueError, RecursionError) as error:
            raise self._unreadable(error) from error
        if not isinstance(names, list) or not all(
            isinstance(name, str) and is_unicode(name) for name in names
        ):
            raise ConfigurationError(f"{self.path}: the names of its classes are no texts")
        return tuple(names)

    def _unreadable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"{self.path}: cannot be read as Parquet: {' '.join(str(error).split())}"
        )


def _read(files: Sequence[_File]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns the pictures, (n, 3, 32, 32), and the labels, (n,)."""
    total = sum(file.rows for file in files)
    pictures = np.empty((total, 3, SIDE, SIDE), np.uint8)
    labels = np.empty(total, np.int64)
    place = -1
    content = ((file, row, *pair) for file in files for row, pair in enumerate(file.content()))
    for place, (file, row, encoded, label) in enumerate(content):
        try:
            picture = decode(encoded)
        except DamagedPictureError as error:
            raise file.unusable(row, error) from error
        if picture.shape[1:] != (SIDE, SIDE):
            height, width = picture.shape[1:]
            raise file.unusable(row, f"it has {width} × {height} pixels, not 32 × 32")
        if place >= total:
            break
        pictures[place], labels[place] = picture.numpy(), label
    if place + 1 != total:
        raise ConfigurationError(
            f"{files[0].path.parent}: the files declare {total} rows and hold others; "
            "get them again"
        )
    return pictures, labels
