"""Listing a set of pictures again: ours from the kept listing, against ImageFolder's walk."""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torchvision.datasets import ImageFolder

from service.benchmark.arguments import positive
from service.benchmark.goals import times_as_fast
from service.benchmark.records import Record
from service.benchmark.timing import alternate
from service.data.folder import FolderPictures, walk
from service.data.folder_index import keep, listed_once

QUICK: tuple[str, ...] = ("--files", "51240", "--classes", "40", "--rounds", "3")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of both ways")
    parser.add_argument("--files", type=positive, default=100_000, help="made up, empty")
    parser.add_argument(
        "--classes",
        type=positive,
        default=78,
        help="folders they lie in; ImageNet has 1281 files each",
    )
    parser.add_argument(
        "--folder", type=Path, help="folder of class folders to list instead, such as …/train"
    )


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or _made_up(Path(scratch, "set"), options.files, options.classes)
        cache = Path(scratch, "cache")
        keep(walk(folder), folder, cache)
        found: dict[str, FolderPictures] = {}
        theirs: dict[str, ImageFolder] = {}
        times = alternate(
            lambda: lambda: found.update(ours=listed_once(folder, cache)),
            lambda: lambda: theirs.update(peer=ImageFolder(str(folder))),
            rounds=options.rounds,
            warm_up=1,
        )
        ours, peer = found["ours"], theirs["peer"]
        same = sum(
            (f"{folder}/{ours.name(index)}", int(ours.labels[index])) == entry
            for index, entry in enumerate(peer.samples)
        )
        classes = len(ours.classes)
    yield Record(
        what=f"listing {len(ours)} files of {classes} classes that were listed before",
        peer="ImageFolder's walk",
        ours=times.ours,
        peers=times.peer,
        goal=times_as_fast(10),
        agreement=f"{same} of {len(peer.samples)} files and labels the same",
    )


def _made_up(folder: Path, files: int, classes: int) -> Path:
    """Makes empty files in class folders."""
    for number in range(min(classes, files)):
        place = folder / f"n{number:08d}"
        place.mkdir(parents=True)
        for file in range(number, files, classes):
            (place / f"{place.name}_{file:08d}.JPEG").touch()
    return folder
