"""Pictures from files, as evaluation sees them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional

from service.config.data import EvaluationPicturesConfig, PicturesConfig
from service.config.detection_data import DetectionEvaluationConfig
from service.config.small_data import AnyPicturesConfig, SmallPicturesConfig
from service.data.augmentation import EvaluationView
from service.data.batch import Request
from service.data.decoded import SIDE
from service.data.decoding import DamagedPictureError, decode
from service.data.detection.batch import DetectionBatch, stacked
from service.data.detection.objects import Objects
from service.data.detection.scaling import fitted
from service.data.packing import PackedStrings


@dataclass(frozen=True)
class FileBatch:
    """What became of some files."""

    views: DetectionBatch | None
    """Those that could be read, with the places of their files; None if none could."""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of each of these pictures as it stands upright in its file."""
    failures: tuple[str, ...]
    """One line for each of the others."""

    def __len__(self) -> int:
        return len(self.sizes) + len(self.failures)

    def pin_memory(self) -> "FileBatch":
        """Returns the batch in page-locked memory; the DataLoader calls this."""
        return self if self.views is None else replace(self, views=self.views.pin_memory())


class FileViews(Dataset[FileBatch]):
    """Makes batches of views; a file that cannot be used is named and left out.

    Args:
        files: Paths of the pictures.
        view: From a decoded picture, uint8 (3, h, w), to what evaluation sees of it.
    """

    def __init__(self, files: PackedStrings, view: Callable[[Tensor], Tensor]) -> None:
        self.files = files
        self.view = view

    def __getitem__(self, request: Request) -> FileBatch:
        views, places, sizes, failures = [], [], [], []
        for place in request.indices.tolist():
            try:
                picture = decode_file(self.files[place])
                views.append(self.view(picture))
            except DamagedPictureError as error:
                failures.append(str(error))
                continue
            places.append(place)
            sizes.append((int(picture.shape[1]), int(picture.shape[2])))
        nothing = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), None)
        batch = stacked(views, [nothing] * len(views), places) if views else None
        return FileBatch(batch, tuple(sizes), tuple(failures))


def decode_file(file: str) -> Tensor:
    """Reads a picture, uint8 (3, h, w), upright: a camera's note that it was turned is followed.

    Raises:
        DamagedPictureError: It cannot be used; names it.
    """
    try:
        return decode(Path(file).read_bytes())
    except OSError as error:
        raise DamagedPictureError(f"{file} cannot be used: {error.strerror}") from error
    except DamagedPictureError as error:
        raise DamagedPictureError(f"{file} cannot be used: {error}") from error


def classification_view(config: AnyPicturesConfig) -> Callable[[Tensor], Tensor]:
    """Returns what evaluation does to a picture that is to be classified.

    Evaluation takes small pictures as they are; others are first made as small.
    """
    if isinstance(config, SmallPicturesConfig):
        config = PicturesConfig(evaluation=EvaluationPicturesConfig(resize=SIDE, size=SIDE))
    return EvaluationView(config)


@dataclass(frozen=True)
class DetectionView:
    """What evaluation does to a picture in which objects are to be found."""

    config: DetectionEvaluationConfig
    """How large it is made."""

    def __call__(self, picture: Tensor) -> Tensor:
        """Returns the view, uint8 (3, H, W), of a picture, uint8 (3, h, w)."""
        height, width = picture.shape[1:]
        size = fitted(height, width, self.config.short_side, self.config.longest).size
        resized: Tensor = functional.resize(picture, list(size), antialias=True)
        return resized
