"""Excerpts: the rectangles of views, and views that equal those of whole pictures."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from service.config.base import Range
from service.config.data import EvaluationPicturesConfig, PicturesConfig, TrainPicturesConfig
from service.data.augmentation import EvaluationView, TrainingView
from service.data.excerpts import random_rectangle

SIZES = [(375, 500), (500, 375), (256, 256), (224, 224), (90, 68), (1200, 300), (801, 1200)]


def photograph(height: int, width: int) -> torch.Tensor:
    """A picture with the spectrum of photographs, channels last in memory as from the decoder."""
    noise = np.random.default_rng(height).normal(size=(3, height, width))
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    spectrum = np.fft.rfft2(noise) / np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    plane = np.fft.irfft2(spectrum, (height, width))
    pixels = 127.5 + 50 * (plane - plane.mean()) / plane.std()
    whole = torch.from_numpy(pixels.clip(0, 255).round().astype(np.uint8))
    return whole.permute(1, 2, 0).contiguous().permute(2, 0, 1)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_evaluation_view_is_that_of_the_whole_picture_resized(
    height: int, width: int, interpolation: str
) -> None:
    """At most 0.5 grey levels from torchvision's on average; a shift of 1/64 pixel is allowed."""
    config = PicturesConfig(interpolation=interpolation)
    mode = v2.InterpolationMode(interpolation)
    whole = v2.Compose([v2.Resize(256, mode, antialias=True), v2.CenterCrop(224)])
    picture = photograph(height, width)
    view = EvaluationView(config)(picture)
    assert view.shape == (3, 224, 224)
    difference = (view.float() - whole(picture).float()).abs()
    assert float(difference.mean()) <= 0.5


@pytest.mark.parametrize("size", [64, 223, 224])
def test_where_all_is_shown_the_evaluation_view_is_torchvisions(size: int) -> None:
    """But for ties in rounding: one level, in one value of a thousand."""
    config = PicturesConfig(evaluation=EvaluationPicturesConfig(resize=size, size=size))
    picture = photograph(300, 300)
    expected = v2.Resize(size, antialias=True)(picture)
    difference = (EvaluationView(config)(picture).int() - expected.int()).abs()
    assert int(difference.max()) <= 1
    assert float(difference.float().mean()) <= 0.001


def test_the_evaluation_view_needs_little_more_than_it_shows() -> None:
    excerpt = EvaluationView(PicturesConfig()).plan(375, 500)
    assert excerpt.height <= 375
    assert excerpt.width < 1.3 * 224 / 256 * 375


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_training_view_is_its_rectangle_resized_by_torchvision(height: int, width: int) -> None:
    view = TrainingView(PicturesConfig(train=TrainPicturesConfig(flip=0.0)))
    picture = photograph(height, width)
    for seed in range(5):
        torch.manual_seed(seed)
        shown = view.plan(height, width)
        rows = slice(shown.top, shown.top + shown.height)
        columns = slice(shown.left, shown.left + shown.width)
        expected = v2.Resize((224, 224), antialias=True)(picture[:, rows, columns])
        torch.manual_seed(seed)
        assert torch.equal(view(picture), expected)


def test_rectangles_lie_in_the_picture_and_in_their_ranges() -> None:
    area, ratio = (0.2, 0.9), (0.5, 2.0)
    draws = np.random.default_rng(0).random((500, 40)).tolist()
    for number, drawn in enumerate(draws):
        height, width = 40 + number % 300, 50 + 7 * number % 211
        top, left, tall, wide = random_rectangle(height, width, area, ratio, drawn)
        assert min(top, left) >= 0
        assert top + tall <= height
        assert left + wide <= width
        share, elongation = tall * wide / (height * width), wide / tall
        assert 0.2 - 0.03 <= share <= 0.9 + 0.03
        assert 0.5 - 0.04 <= elongation <= 2 + 0.09


def test_where_no_rectangle_fits_the_centre_is_taken() -> None:
    """A strip of 10 × 100: at a ratio of at most 4/3 no more than 13 of its columns."""
    config = PicturesConfig(train=TrainPicturesConfig(size=16, crop_area=Range(low=0.9, high=1.0)))
    shown = TrainingView(config).plan(10, 100)
    assert (shown.top, shown.left, shown.height, shown.width) == (0, 43, 10, 13)
