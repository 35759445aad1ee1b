"""Masks of a picture's detections to run lengths: ours against torchvision and pycocotools."""

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from service.benchmark.arguments import positive
from service.benchmark.goals import times_as_fast
from service.benchmark.peers import torchvision_masks
from service.benchmark.records import Record
from service.benchmark.timing import Preparation, alternate
from service.detection.evaluation.masks import encode_masks
from service.training.threads import one_thread

QUICK: tuple[str, ...] = ()

_SIDE = 28


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of both ways")
    parser.add_argument("--detections", type=positive, default=100)
    parser.add_argument("--height", type=positive, default=480, help="of the picture, pixels")
    parser.add_argument("--width", type=positive, default=640, help="of the picture, pixels")


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    yield measure_masks(
        detections=options.detections,
        height=options.height,
        width=options.width,
        rounds=options.rounds,
    )


def measure_masks(*, detections: int, height: int, width: int, rounds: int) -> Record:
    """Measures on one core.

    Args:
        detections: Detections of the picture.
        height: Height of the picture.
        width: Width of the picture.
        rounds: Rounds of both ways.
    """
    with one_thread():
        given = (*drawn_masks(detections, height, width, seed=0), height, width)
        ours: Preparation = lambda: lambda: encode_masks(*given)  # noqa: E731  # nothing to prepare
        peer: Preparation = lambda: lambda: torchvision_masks(*given)  # noqa: E731
        times = alternate(ours, peer, rounds=rounds, warm_up=1)
    pairs = zip(encode_masks(*given), torchvision_masks(*given), strict=True)
    same = sum(one == other for one, other in pairs)
    return Record(
        what=f"masks of {detections} detections in a picture of {width} × {height}",
        peer="torchvision paste + pycocotools encode",
        ours=times.ours,
        peers=times.peer,
        goal=times_as_fast(5),
        agreement=f"{same} of {detections} run lengths identical",
    )


def drawn_masks(detections: int, height: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns smooth random masks (m, 28, 28) and boxes (m, 4) of many sizes in the picture."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(detections, 1, 6, 6, generator=draw)
    size = (_SIDE, _SIDE)
    masks = F.interpolate(coarse, size, mode="bicubic", align_corners=False).clamp(0, 1)[:, 0]
    sides = torch.tensor([width, height], dtype=torch.float32)
    corners = torch.rand(detections, 2, generator=draw) * 0.7 * sides
    extents = torch.exp(4.7 + 0.6 * torch.randn(detections, 2, generator=draw))
    return masks, torch.cat([corners, torch.minimum(corners + extents, sides)], dim=1)
