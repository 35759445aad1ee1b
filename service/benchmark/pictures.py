"""JPEG files to views on one core: ours against torchvision's reference, which uses Pillow."""

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from service.benchmark.arguments import positive
from service.benchmark.goals import Goal, times_as_fast
from service.benchmark.photographs import photographs
from service.benchmark.picture_peers import evaluation_by_pillow, training_by_pillow
from service.benchmark.records import Record
from service.benchmark.timing import Prepared, alternate
from service.config.data import PicturesConfig, TrainPicturesConfig
from service.data.augmentation import EvaluationView, TrainingView
from service.data.decoding import decode_excerpt
from service.data.excerpts import View
from service.data.preparing.rewriting import rewritten
from service.data.rectangles import decodes_rectangles
from service.training.threads import one_thread

QUICK: tuple[str, ...] = ("--pictures", "100", "--rounds", "5")

_BATCH = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=11, help="rounds of both ways")
    parser.add_argument("--pictures", type=positive, default=250, help="of a round")
    parser.add_argument(
        "--root", type=Path, help="folder of JPEG files; without, pictures are drawn"
    )
    parser.add_argument("--short-side", type=positive, default=256, help="of the prepared pictures")
    parser.add_argument("--quality", type=positive, default=90, help="of the prepared pictures")


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    with tempfile.TemporaryDirectory() as scratch:
        files = photographs(options.root, options.pictures, Path(scratch))
        originals = [file.read_bytes() for file in files]
    prepared = [rewritten(one, options.short_side, options.quality) for one in originals]
    config = PicturesConfig()
    evaluation = config.evaluation
    ways = (
        _Way("training", originals, TrainingView(config), times_as_fast(1.8), "original files"),
        _Way(
            "training",
            prepared,
            TrainingView(config),
            times_as_fast(4),
            f"prepared files (short side {options.short_side}, quality {options.quality})",
        ),
        _Way("evaluation", originals, EvaluationView(config), times_as_fast(1.5), "original files"),
    )
    peers = {
        "training": training_by_pillow(config.train.size),
        "evaluation": evaluation_by_pillow(evaluation.resize, evaluation.size),
    }
    with one_thread():
        for way in ways:
            yield _measured(way, originals, peers[way.what], options.rounds)


@dataclass(frozen=True)
class _Way:
    """What is measured of ours."""

    what: str
    encoded: Sequence[bytes]
    view: View
    goal: Goal
    files: str


def _measured(
    way: _Way, originals: Sequence[bytes], peer: Callable[[bytes], Tensor], rounds: int
) -> Record:
    number = iter(range(2 * (rounds + 1)))

    def run(view: Callable[[bytes], Tensor], encoded: Sequence[bytes]) -> Prepared:
        torch.manual_seed(next(number))
        return lambda: _batches(view, encoded)

    times = alternate(
        lambda: run(lambda one: decode_excerpt(one, way.view.plan), way.encoded),
        lambda: run(peer, originals),
        rounds=rounds,
        warm_up=1,
    )
    decoder = "the rectangle alone is decoded" if decodes_rectangles() else "all is decoded"
    return Record(
        what=f"{way.what} views of {len(originals)} {way.files}, one core, {decoder}",
        peer="torchvision's reference (Pillow) on the original files",
        ours=times.ours,
        peers=times.peer,
        goal=way.goal,
        agreement=_agreement(way, peer),
    )


def _batches(view: Callable[[bytes], Tensor], encoded: Sequence[bytes]) -> list[tuple[int, ...]]:
    """Makes uint8 batches of all pictures, and drops them."""
    starts = range(0, len(encoded), _BATCH)
    return [
        torch.stack([view(one) for one in encoded[start : start + _BATCH]]).shape
        for start in starts
    ]


def _agreement(way: _Way, peer: Callable[[bytes], Tensor]) -> str:
    """Returns how far our pixels are from Pillow's, of the same file and the same rectangle."""
    differences = []
    for number, one in enumerate(way.encoded):
        view, theirs = way.view, peer
        if isinstance(view, TrainingView):
            view = TrainingView(PicturesConfig(train=TrainPicturesConfig(flip=0.0)))
            theirs = partial(_rectangle_by_pillow, view=view)
        torch.manual_seed(number)
        ours = decode_excerpt(one, view.plan).float()
        torch.manual_seed(number)
        differences.append((ours - theirs(one).float()).abs())
    mean = sum(float(one.mean()) for one in differences) / len(differences)
    largest = max(int(one.max()) for one in differences)
    return f"{mean:.2g} grey levels from Pillow's pixels on average, {largest} at most"


def _rectangle_by_pillow(encoded: bytes, view: View) -> Tensor:
    """Returns the rectangle that a view shows, resized by Pillow."""
    with Image.open(io.BytesIO(encoded)) as picture:
        shown = view.plan(picture.height, picture.width)
        box = (shown.left, shown.top, shown.left + shown.width, shown.top + shown.height)
        part = picture.convert("RGB").crop(box)
    side = PicturesConfig().train.size
    resized = part.resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)
