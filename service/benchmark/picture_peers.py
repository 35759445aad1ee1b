"""How others turn JPEG files into batches: torchvision's reference training, and timm's loader."""

import importlib
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler
from torchvision import datasets, transforms

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def training_by_pillow(size: int) -> Callable[[bytes], Tensor]:
    """Returns torchvision's reference for training, as far as uint8 (3, size, size)."""
    steps = [
        transforms.RandomResizedCrop(size),
        transforms.RandomHorizontalFlip(),
        transforms.PILToTensor(),
    ]
    return _of_bytes(transforms.Compose(steps))


def evaluation_by_pillow(resize: int, size: int) -> Callable[[bytes], Tensor]:
    """Returns torchvision's reference for evaluation, as far as uint8 (3, size, size)."""
    steps = [transforms.Resize(resize), transforms.CenterCrop(size), transforms.PILToTensor()]
    return _of_bytes(transforms.Compose(steps))


def _of_bytes(transform: Callable[[Any], Tensor]) -> Callable[[bytes], Tensor]:
    """Returns a transform after what ImageFolder's loader does."""

    def made(encoded: bytes) -> Tensor:
        with Image.open(io.BytesIO(encoded)) as picture:
            return transform(picture.convert("RGB"))

    return made


def torchvision_loader(folder: Path, size: int, batch_size: int, processes: int) -> Iterable[Any]:
    """Returns torchvision's reference: ImageFolder and a DataLoader of normalised batches."""
    steps = [
        transforms.RandomResizedCrop(size),
        transforms.RandomHorizontalFlip(),
        transforms.PILToTensor(),
        transforms.ConvertImageDtype(torch.float),
        transforms.Normalize(MEAN, STD),
    ]
    dataset = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=RandomSampler(dataset),
        num_workers=processes,
        drop_last=True,
    )


def timm_loader(folder: Path, size: int, batch_size: int, processes: int) -> Iterable[Any]:
    """Returns timm's loader with its prefetcher, which normalises whole batches."""
    timm: Any = importlib.import_module("timm.data")
    loader: Iterable[Any] = timm.create_loader(
        timm.ImageDataset(str(folder)),
        input_size=(3, size, size),
        batch_size=batch_size,
        is_training=True,
        color_jitter=0.0,
        interpolation="bilinear",
        num_workers=processes,
        device=torch.device("cpu"),
    )
    return loader
