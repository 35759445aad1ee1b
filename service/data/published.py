"""CIFAR-10, CIFAR-100 and SVHN as their authors publish them, read by torchvision."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError

import numpy as np
from torchvision import datasets

from service.config.errors import ConfigurationError
from service.config.small_data import CIFAR10DataConfig, CIFAR100DataConfig, SVHNDataConfig
from service.data.decoded import DecodedPictures
from service.data.decoded_cache import DecodedSplits

PublishedConfig = CIFAR10DataConfig | CIFAR100DataConfig | SVHNDataConfig
"""Sets that torchvision reads and downloads."""


@dataclass(frozen=True)
class PublishedSet:
    """Where a published set lies and how torchvision reads it."""

    root: Path
    """Folder that holds the set."""
    parts: tuple[str, ...]
    """What a download puts into `root`: a folder, or two files."""
    train_file: str
    """A file of the training split, below `root`."""
    evaluation_file: str
    """A file of the evaluation split, below `root`."""
    files: tuple[Path, ...]
    """All files."""
    address: str
    """Where the authors have the set."""
    open: Callable[[Path, bool, bool], Any]
    """Opens a data set of torchvision's: root, whether to train on it, whether to download it."""


def find_published(config: PublishedConfig) -> PublishedSet:
    """Returns the set with all its files in place, downloaded if that is needed and allowed.

    Raises:
        ConfigurationError: Files are missing; says how to get them.
    """
    published = _published(config)
    missing = _missing(published)
    if missing and config.download:
        _download(published)
        missing = _missing(published)
    if missing:
        raise ConfigurationError(
            f"data.root: {missing[0]} is missing; put there what {published.address} holds, or "
            "have it downloaded with data.download=true"
        )
    return published


def read_published(published: PublishedSet) -> DecodedSplits:
    """Reads both splits.

    The files of CIFAR are pickles. torchvision reads them only where their checksums are those of
    the published files.

    Raises:
        ConfigurationError: A file is not the published one.
    """
    try:
        # CIFAR's pickles are of 2009 and describe arrays in a way that NumPy now warns about.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
            train, evaluation = (
                published.open(published.root, part, False) for part in (True, False)
            )
    except RuntimeError as error:
        raise ConfigurationError(
            f"data.root: {' or '.join(published.parts)} in {published.root} differs from what "
            f"{published.address} holds (checksum); remove it and get it again"
        ) from error
    classes = tuple(getattr(train, "classes", map(str, range(10))))
    return (
        _decoded(train, classes, published.root / published.train_file),
        _decoded(evaluation, classes, published.root / published.evaluation_file),
    )


def _published(config: PublishedConfig) -> PublishedSet:
    root = Path(config.root)
    match config:
        case CIFAR10DataConfig():
            return _cifar(root, datasets.CIFAR10)
        case CIFAR100DataConfig():
            return _cifar(root, datasets.CIFAR100)
        case SVHNDataConfig():
            return _svhn(root)


def _cifar(root: Path, dataset: Any) -> PublishedSet:  # noqa: ANN401  # torchvision is untyped
    train, evaluation = (
        [f"{dataset.base_folder}/{name}" for name, _ in files]
        for files in (dataset.train_list, dataset.test_list)
    )
    names = [*train, *evaluation, f"{dataset.base_folder}/{dataset.meta['filename']}"]
    return PublishedSet(
        root=root,
        parts=(dataset.base_folder,),
        train_file=train[0],
        evaluation_file=evaluation[0],
        files=tuple(root / name for name in names),
        address=dataset.url,
        open=lambda root, train, download: dataset(root, train=train, download=download),
    )


def _svhn(root: Path) -> PublishedSet:
    (address, train, _), (_, evaluation, _) = (
        datasets.SVHN.split_list[split] for split in ("train", "test")
    )
    return PublishedSet(
        root=root,
        parts=(train, evaluation),
        train_file=train,
        evaluation_file=evaluation,
        files=(root / train, root / evaluation),
        address=address.rpartition("/")[0],
        open=lambda root, train, download: datasets.SVHN(
            root, split="train" if train else "test", download=download
        ),
    )


def _missing(published: PublishedSet) -> list[Path]:
    return [file for file in published.files if not file.is_file()]


def _download(published: PublishedSet) -> None:
    """Downloads the set beside its place and moves it there whole; checksums are checked."""
    for part in published.parts:
        if (published.root / part).is_dir():
            raise ConfigurationError(
                f"data.root: {published.root / part} is incomplete; remove it to have it "
                "downloaded again"
            )
    try:
        published.root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".download-", dir=published.root) as folder:
            for train in (True, False):
                published.open(Path(folder), train, True)
            for part in published.parts:
                _move(Path(folder, part), published.root / part)
    except (OSError, RuntimeError) as error:
        if isinstance(error, HTTPError):
            # It holds the connection.
            error.close()
        reason = " ".join(str(error).split())
        raise ConfigurationError(
            f"data.download: {published.address} cannot be downloaded: {reason}"
        ) from error


def _move(part: Path, target: Path) -> None:
    try:
        part.rename(target)
    except OSError:
        # Another worker was faster; any other reason is the caller's to know.
        if not target.is_dir():
            raise


def _decoded(split: Any, classes: tuple[str, ...], source: Path) -> DecodedPictures:  # noqa: ANN401  # torchvision is untyped
    # CIFAR's channels come last, SVHN's first.
    pictures = split.data.transpose(0, 3, 1, 2) if hasattr(split, "targets") else split.data
    labels = split.targets if hasattr(split, "targets") else split.labels
    return DecodedPictures(
        np.ascontiguousarray(pictures), np.asarray(labels, np.int64), classes, str(source)
    )
