"""Training and evaluation views."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from service.config.base import Range
from service.config.data import (
    AugmentationConfig,
    AutoAugmentConfig,
    EvaluationPicturesConfig,
    NoAugmentation,
    PicturesConfig,
    RandAugmentConfig,
    TrainPicturesConfig,
    TrivialAugmentConfig,
)
from service.data.augmentation import EvaluationView, TrainingView
from service.data.decoding import decode
from service.data.folder import list_folder

POLICIES = [RandAugmentConfig(), AutoAugmentConfig(), TrivialAugmentConfig()]


def ramp(width: int, height: int) -> torch.Tensor:
    """A picture whose red is x and whose green is y, from 0 at one border to 255 at the other."""
    x = torch.linspace(0, 255, width).expand(height, width)
    y = torch.linspace(0, 255, height)[:, None].expand(height, width)
    return torch.stack([x, y, torch.zeros_like(x)]).round().to(torch.uint8)


def training(**fields: object) -> PicturesConfig:
    return PicturesConfig(train=TrainPicturesConfig(size=32, **fields))


def views(config: PicturesConfig, picture: torch.Tensor, count: int) -> torch.Tensor:
    transform = TrainingView(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.stack([transform(picture) for _ in range(count)])


def test_a_crop_of_fixed_share_is_placed_uniformly() -> None:
    """A quarter of the area is half of each side. Means within 5 standard errors."""
    fixed = Range(low=0.25, high=0.25)
    config = training(crop_area=fixed, crop_ratio=Range(low=1, high=1), flip=0.0)
    count = 600
    seen = views(config, ramp(256, 256), count).float()
    for channel, (first, last) in enumerate(
        ((seen[:, :, :, 0], seen[:, :, :, -1]), (seen[:, :, 0, :], seen[:, :, -1, :]))
    ):
        low, high = first[:, channel].mean(1), last[:, channel].mean(1)
        # Outer pixels average over about 4 of the 128 levels that the crop spans.
        assert ((high - low) - (127.5 - 4)).abs().max() < 3
        middle = (low + high) / 2
        error = 127.5 / 12**0.5 / count**0.5
        assert abs(float(middle.mean()) - 127.5) < 5 * error
        assert float(middle.std()) == pytest.approx(127.5 / 12**0.5, rel=0.1)


def test_crops_keep_their_ranges_of_area_and_ratio() -> None:
    """Measured from the ramp: within 3 % of each side, of which 8 levels are 3 %."""
    config = training(flip=0.0)
    seen = views(config, ramp(300, 300), 400).float()
    width = (seen[:, 0, :, -1] - seen[:, 0, :, 0]).mean(1) * 32 / 31 / 255
    height = (seen[:, 1, -1, :] - seen[:, 1, 0, :]).mean(1) * 32 / 31 / 255
    area, ratio = width * height, width / height
    assert 0.08 * 0.9 < float(area.min()) < 0.15
    assert 0.85 < float(area.max()) < 1.05
    assert 0.75 * 0.95 < float(ratio.min()) < 0.85
    assert 1.2 < float(ratio.max()) < 4 / 3 * 1.05


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_flips_come_with_their_probability(probability: float) -> None:
    """5 standard errors; exact at 0 and 1."""
    count = 600
    seen = views(training(flip=probability), ramp(64, 64), count).float()
    flipped = (seen[:, 0, :, 0] > seen[:, 0, :, -1]).all(1).float().mean()
    bound = 5 * (probability * (1 - probability) / count) ** 0.5
    assert abs(float(flipped) - probability) <= bound


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_erasing_fills_a_rectangle_with_the_mean_colour(probability: float) -> None:
    count = 300
    white = torch.full((3, 40, 40), 255, dtype=torch.uint8)
    seen = views(training(random_erasing=probability), white, count)
    erased = (seen != 255).all(1)
    mean = torch.tensor([124, 116, 104], dtype=torch.uint8)
    assert (seen.movedim(1, -1)[erased] == mean).all()
    happened = erased.flatten(1).any(1)
    bound = 5 * (probability * (1 - probability) / count) ** 0.5
    assert abs(float(happened.float().mean()) - probability) <= bound
    for rectangle in erased[happened]:
        rows, columns = rectangle.any(1).sum(), rectangle.any(0).sum()
        assert rectangle.sum() == rows * columns
        assert 0.01 * 32**2 < rectangle.sum() < 0.36 * 32**2


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_policies_change_pictures_the_same_way_for_the_same_seed(
    policy: AugmentationConfig, interpolation: str
) -> None:
    config = PicturesConfig(
        train=TrainPicturesConfig(size=32, augmentation=policy), interpolation=interpolation
    )
    plain = config.model_copy(
        update={"train": TrainPicturesConfig(size=32, augmentation=NoAugmentation())}
    )
    picture = ramp(60, 50)
    seen = views(config, picture, 30)
    assert seen.dtype == torch.uint8
    assert seen.shape == (30, 3, 32, 32)
    assert torch.equal(seen, views(config, picture, 30))
    assert not torch.equal(seen, views(plain, picture, 30))


def test_magnitude_is_strength() -> None:
    """Mean change of a picture by one operation; the strongest is at least twice the weakest."""

    def change(magnitude: int) -> float:
        policy = RandAugmentConfig(operations=1, magnitude=magnitude)
        whole = Range(low=1, high=1)
        config = training(crop_area=whole, crop_ratio=whole, flip=0.0, augmentation=policy)
        picture = ramp(32, 32)
        return float((views(config, picture, 100).float() - picture.float()).abs().mean())

    assert change(30) > 2 * change(0)


def test_interpolation_is_as_configured() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (3, 50, 50), dtype=torch.uint8, generator=generator)
    bilinear = views(training(), picture, 1)
    bicubic = views(training().model_copy(update={"interpolation": "bicubic"}), picture, 1)
    assert not torch.equal(bilinear, bicubic)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 300), (300, 5), (20, 20), (31, 33)])
def test_pictures_of_any_size_give_views_of_the_asked_size(width: int, height: int) -> None:
    picture = ramp(width, height)
    assert views(training(), picture, 5).shape == (5, 3, 32, 32)
    assert EvaluationView(PicturesConfig())(picture).shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("interpolation", "filter_"),
    [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)],
)
def test_the_evaluation_view_is_that_of_pillow(
    drawn: Path, interpolation: str, filter_: Image.Resampling
) -> None:
    """At most 2 grey levels anywhere, 0.1 on average: both round fixed-point weights."""
    config = PicturesConfig(
        evaluation=EvaluationPicturesConfig(resize=20, size=17), interpolation=interpolation
    )
    pictures = list_folder(drawn / "train")
    for index in range(10):
        picture = decode(pictures.read(index))
        _, height, width = picture.shape
        shorter = min(height, width)
        resized = Image.fromarray(picture.permute(1, 2, 0).numpy()).resize(
            (int(20 * width / shorter), int(20 * height / shorter)), filter_
        )
        left, top = round((resized.width - 17) / 2), round((resized.height - 17) / 2)
        expected = np.asarray(resized.crop((left, top, left + 17, top + 17)), np.int64)
        view = EvaluationView(config)(picture).permute(1, 2, 0).numpy()
        difference = np.abs(view.astype(np.int64) - expected)
        assert difference.max() <= 2
        assert difference.mean() <= 0.1
