"""Small pictures from memory to normalised views on one core, against torchvision with Pillow."""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

from service.benchmark.arguments import positive
from service.benchmark.goals import times_as_fast
from service.benchmark.records import Record
from service.benchmark.timing import Prepared, alternate
from service.config.small_data import CIFAR10DataConfig
from service.data.batch import Request
from service.data.decoded import SIDE, DecodedPictures
from service.data.decoded_views import SmallTrainingViews
from service.data.normalization import Normalization
from service.data.random_crops import draw_crops
from service.training.threads import one_thread

QUICK: tuple[str, ...] = ()

_PICTURES = 10_000
_CLASSES = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=9, help="rounds of both ways")
    parser.add_argument("--batch", type=positive, default=128)
    parser.add_argument("--batches", type=positive, default=16, help="of a round")


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures on noise: what is done to a small picture costs the same whatever it shows."""
    with one_thread():
        yield _measured(options)


def _measured(options: argparse.Namespace) -> Record:
    config, pictures = CIFAR10DataConfig(root="unused"), _noise()
    normalization = Normalization(config.mean, config.std)
    views = SmallTrainingViews(pictures, config)
    requests = _requests(options.batches, options.batch)

    def ours() -> Prepared:
        def run() -> None:
            for request in requests:
                batch = views[request].to(torch.device("cpu"))
                normalization(batch.pictures, memory_format=torch.channels_last)

        return run

    transform = transforms.Compose(
        [
            transforms.RandomCrop(SIDE, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(config.mean, config.std),
        ]
    )
    images = [Image.fromarray(picture.transpose(1, 2, 0)) for picture in pictures.pictures]

    def peer() -> Prepared:
        def run() -> None:
            for request in requests:
                torch.stack([transform(images[index]) for index in request.indices.tolist()])

        return run

    times = alternate(ours, peer, rounds=options.rounds, warm_up=1)
    count = options.batches * options.batch
    same, difference = _agreement(views, normalization, config, requests[0], images)
    return Record(
        what=f"{count} pictures of 32 × 32 px cropped, flipped, normalised, on one core",
        peer="torchvision on Pillow's pictures",
        ours=times.ours,
        peers=times.peer,
        goal=times_as_fast(12),
        agreement=f"of the same crops {same} of {options.batch} within {difference:.0e}",
    )


def _noise() -> DecodedPictures:
    draw = np.random.default_rng(0)
    return DecodedPictures(
        draw.integers(0, 256, (_PICTURES, 3, SIDE, SIDE), dtype=np.uint8),
        draw.integers(0, _CLASSES, _PICTURES),
        tuple(map(str, range(_CLASSES))),
        "noise",
    )


def _requests(batches: int, batch: int) -> list[Request]:
    draw = np.random.default_rng(1)
    return [
        Request(draw.integers(0, _PICTURES, batch), draw.integers(0, 2**63, batch, dtype=np.uint64))
        for _ in range(batches)
    ]


def _agreement(
    views: SmallTrainingViews,
    normalization: Normalization,
    config: CIFAR10DataConfig,
    request: Request,
    images: list[Image.Image],
) -> tuple[int, float]:
    """Returns how many views torchvision makes of the same draws, within which difference."""
    made: Tensor = normalization(views[request].to(torch.device("cpu")).pictures)
    rows, columns, flips = draw_crops(config, request.seeds).draws[:3].tolist()
    bound, same = 1e-5, 0
    for place, index in enumerate(request.indices.tolist()):
        image = functional.hflip(images[index]) if flips[place] else images[index]
        padded = functional.pad(image, [4])
        cropped = functional.crop(padded, rows[place], columns[place], SIDE, SIDE)
        values = functional.normalize(functional.to_tensor(cropped), config.mean, config.std)
        same += bool((values - made[place]).abs().max() < bound)
    return same, bound
