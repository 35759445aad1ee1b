"""Pictures for the tests of service.data."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.config.data import (
    DrawnDataConfig,
    EvaluationPicturesConfig,
    PicturesConfig,
    TrainPicturesConfig,
)
from service.data.decoded import DecodedPictures
from service.data.drawing.tree import draw_pictures

Encoder = Callable[..., bytes]


@pytest.fixture(scope="session")
def encode() -> Encoder:
    """Returns a function that encodes a smooth colour picture: width, height, format, mode."""

    def encoder(
        width: int = 80, height: int = 60, kind: str = "JPEG", mode: str = "RGB", **options: object
    ) -> bytes:
        x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
        pixels = np.stack([x, y, 255 - (x + y) / 2], axis=2).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
        return buffer.getvalue()

    return encoder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn set: 41 training and 13 evaluation pictures of 3 classes. Not to be changed."""
    root = tmp_path_factory.mktemp("data") / "drawn"
    draw_pictures(
        root,
        DrawnDataConfig(classes=3, train_pictures=41, evaluation_pictures=13, picture_size=32),
    )
    return root


@pytest.fixture(scope="session")
def small() -> PicturesConfig:
    """Views of 24 pixels, evaluation batches of 4."""
    return PicturesConfig(
        train=TrainPicturesConfig(size=24),
        evaluation=EvaluationPicturesConfig(resize=28, size=24, batch_size=4),
    )


@pytest.fixture(scope="session")
def decoded() -> DecodedPictures:
    """41 pictures of random pixels, of 3 classes. Not to be changed."""
    pixels = np.random.default_rng(0).integers(0, 256, (41, 3, 32, 32), np.uint8)
    return DecodedPictures(pixels, np.arange(41) % 3, ("cat", "dog", "fish"), "set/train")
