"""Random crops, flips and cutout of a batch, against torchvision and against one picture a time."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision import transforms

from service.config.small_data import (
    CIFAR10DataConfig,
    SmallPicturesConfig,
    SmallTrainPicturesConfig,
    SVHNDataConfig,
)
from service.data.batch import Batch
from service.data.random_crops import crop, cut_out, draw_crops
from service.data.seeds import sample_seeds

WINDOWS = 2 * 9 * 9
_64_BITS = 2**64 - 1


def config(**train: object) -> SmallPicturesConfig:
    return CIFAR10DataConfig(train=SmallTrainPicturesConfig(**train))


def seeds(count: int, seed: int = 0) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    zeros = np.zeros(count, np.int64)
    return sample_seeds(seed, zeros, np.arange(count), zeros)


def pictures(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)


def splitmix64(seed: int, count: int) -> list[int]:
    """Returns the first outputs of SplitMix64, in Python's integers."""
    outputs = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & _64_BITS
        mixed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
        outputs.append(mixed ^ (mixed >> 31))
    return outputs


def one_view(picture: Tensor, seed: int, training: SmallPicturesConfig, flip: float) -> Tensor:
    """Makes a view of one picture: what the batch must equal bit for bit."""
    train = training.train
    row, column, flipped, top, left = (word >> 32 for word in splitmix64(seed, 5))
    windows = 2 * train.padding + 1
    row, column = row * windows >> 32, column * windows >> 32
    if flipped < flip * 2**32:
        picture = picture.flip(2)
    padded = F.pad(picture, (train.padding,) * 4)
    view = padded[:, row : row + 32, column : column + 32].clone()
    top = (top * 32 >> 32) - train.cutout // 2
    left = (left * 32 >> 32) - train.cutout // 2
    for channel, mean in enumerate(training.mean):
        rows = slice(max(top, 0), max(top + train.cutout, 0))
        view[channel, rows, max(left, 0) : max(left + train.cutout, 0)] = round(255 * mean)
    return view


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_a_crop_is_a_slice_of_the_padded_picture(padding: int) -> None:
    """Every window, flipped or not, as one batch."""
    (picture,) = pictures(1)
    offsets = range(2 * padding + 1)
    draws = torch.tensor(list(itertools.product(offsets, offsets, (0, 1))))
    views = crop(picture.expand(len(draws), -1, -1, -1), *draws.T, padding)
    for view, (row, column, flip) in zip(views, draws.tolist(), strict=True):
        padded = F.pad(picture.flip(2) if flip else picture, (padding,) * 4)
        assert torch.equal(view, padded[:, row : row + 32, column : column + 32])


@pytest.mark.parametrize(
    ("train", "flip"),
    [
        ({}, 0.5),
        ({"flip": 0.0, "padding": 2}, 0.0),
        ({"flip": 1.0, "padding": 0}, 1.0),
        ({"cutout": 16}, 0.5),
        ({"cutout": 7, "flip": 0.25}, 0.25),
        ({"cutout": 32, "padding": 16}, 0.5),
    ],
)
def test_a_batch_equals_its_views_made_one_by_one(train: dict[str, float], flip: float) -> None:
    training, originals, of_each = config(**train), pictures(100), seeds(100)
    views = draw_crops(training, of_each).applied_to(originals)
    for view, original, seed in zip(views, originals, of_each.tolist(), strict=True):
        assert torch.equal(view, one_view(original, seed, training, flip))


def test_the_windows_are_those_of_torchvision() -> None:
    """4000 draws of torchvision's miss one of the 162 with a probability of 3e-9."""
    (original,) = pictures(1)
    ours = draw_crops(config(), seeds(4000)).applied_to(original.expand(4000, -1, -1, -1))
    theirs = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
        ]
    )
    image = Image.fromarray(original.permute(1, 2, 0).numpy())
    torch.manual_seed(0)
    reached = {theirs(image).numpy().tobytes() for _ in range(4000)}
    assert len(reached) == WINDOWS
    assert {view.numpy().tobytes() for view in ours} == reached


def test_all_windows_are_equally_likely() -> None:
    """χ² of 162 cells within 5 standard errors, √(2·161), of its mean 161; also torchvision's."""
    count = 200 * WINDOWS
    rows, columns, flips, _, _ = draw_crops(config(), seeds(count)).draws
    counts = torch.bincount((rows * 9 + columns) * 2 + flips, minlength=WINDOWS)
    theirs = transforms.RandomCrop(32)
    torch.manual_seed(0)
    empty = torch.zeros(1, 40, 40)
    of_theirs = Counter(theirs.get_params(empty, (32, 32))[:2] for _ in range(20 * 81))
    for observed, expected in (
        (counts.double(), 200),
        (torch.tensor(list(of_theirs.values()), dtype=torch.float64), 20),
    ):
        chi_squared = float(((observed - expected) ** 2 / expected).sum())
        freedom = len(observed) - 1
        assert abs(chi_squared - freedom) < 5 * (2 * freedom) ** 0.5
    assert len(of_theirs) == 81


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.5, 1.0])
def test_flips_have_their_probability(flip: float) -> None:
    """5 standard errors; 0 and 1 exactly."""
    count = 40_000
    share = draw_crops(config(flip=flip), seeds(count)).draws[2].double().mean()
    assert abs(share - flip) <= 5 * (flip * (1 - flip) / count) ** 0.5


def test_digits_are_not_flipped_unless_asked() -> None:
    assert not draw_crops(SVHNDataConfig(), seeds(1000)).draws[2].any()
    flipped = SVHNDataConfig(train=SmallTrainPicturesConfig(flip=0.5))
    assert draw_crops(flipped, seeds(1000)).draws[2].any()


@pytest.mark.parametrize("size", [1, 8, 15, 16, 32])
def test_cutout_blanks_what_of_its_square_lies_in_the_picture(size: int) -> None:
    """All 1024 centres: the area has a closed form, the rest stays as it was."""
    centres = torch.tensor(list(itertools.product(range(32), range(32))))
    originals = pictures(1).clamp(max=199).expand(1024, -1, -1, -1)
    fill = torch.tensor([200, 210, 220], dtype=torch.uint8).view(3, 1, 1)
    views = cut_out(originals, *centres.T, size, fill)
    blank = views == fill
    first = centres - size // 2
    sides = (first + size).clamp(max=32) - first.clamp(min=0)
    assert blank.sum((2, 3)).tolist() == (sides[:, :1] * sides[:, 1:]).expand(-1, 3).tolist()
    assert torch.equal(views[~blank], originals[~blank])
    assert blank[torch.arange(1024), :, centres[:, 0], centres[:, 1]].all()
    # A filled rectangle: as many rows and columns as its sides.
    assert torch.equal(blank[:, 0].any(2).sum(1), sides[:, 0])
    assert torch.equal(blank[:, 0].any(1).sum(1), sides[:, 1])


def test_cutouts_centres_are_uniform() -> None:
    """5 standard errors for each of the 32 rows and columns."""
    count = 64_000
    for centres in draw_crops(config(cutout=16), seeds(count)).draws[3:]:
        counts = torch.bincount(centres, minlength=32)
        assert len(counts) == 32
        error = (count / 32 * 31 / 32) ** 0.5
        assert (counts - count / 32).abs().max() < 5 * error


def test_a_batch_makes_its_views_when_it_moves_and_only_then() -> None:
    originals, labels = pictures(6), torch.arange(6)
    crops = draw_crops(config(cutout=8), seeds(6))
    batch = Batch(originals.clone(), labels, labels, crops)
    moved = batch.to(torch.device("cpu"))
    assert torch.equal(batch.pictures, originals)
    assert torch.equal(moved.pictures, crops.applied_to(originals))
    assert not torch.equal(moved.pictures, originals)
    assert torch.equal(moved.to(torch.device("cpu")).pictures, moved.pictures)
    elsewhere = batch.to(torch.device("meta"))
    assert (elsewhere.pictures.device.type, elsewhere.pictures.shape) == ("meta", (6, 3, 32, 32))
    assert elsewhere.pictures.dtype == torch.uint8


def test_without_padding_flip_and_cutout_pictures_stay_as_they_are() -> None:
    originals = pictures(20)
    assert torch.equal(
        draw_crops(config(padding=0, flip=0.0), seeds(20)).applied_to(originals), originals
    )
