"""Batches, and making one from the places of its pictures and the seeds of their views."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from service.data.decoding import DamagedPictureError, decode
from service.data.pictures import PictureSet
from service.data.random_crops import RandomCrops


@dataclass(frozen=True)
class Batch:
    """Pictures with their labels."""

    pictures: Tensor
    """uint8 (n, 3, S, S), RGB; from encoded pictures channels last in memory."""
    labels: Tensor
    """int64 (n,)."""
    indices: Tensor
    """int64 (n,): where each picture stands in its set."""
    crops: RandomCrops | None = None
    """What is still to be done to the pictures; `to` does it."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Batch":
        """Returns the batch on a device, its views made there; from pinned memory nothing waits."""
        moved = self._each(lambda tensor: tensor.to(device, non_blocking=True))
        if moved.crops is None:
            return moved
        return Batch(moved.crops.applied_to(moved.pictures), moved.labels, moved.indices)

    def pin_memory(self) -> "Batch":
        """Returns the batch in page-locked memory; the DataLoader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        crops = None if self.crops is None else self.crops.each(change)
        return Batch(change(self.pictures), change(self.labels), change(self.indices), crops)


@dataclass(frozen=True)
class Request:
    """The pictures of one batch and the seeds of their views."""

    indices: NDArray[np.int64]
    """(n,)."""
    seeds: NDArray[np.uint64]
    """(n,)."""


class Views(Dataset[Batch | DamagedPictureError]):
    """Makes batches on request, in whichever process it is asked.

    A view depends on its picture and its seed and on nothing else. A damaged picture is returned,
    not raised: torch would bury its one line in the traceback of the loading process.

    Args:
        pictures: Where the pictures come from.
        transform: uint8 (3, h, w) → uint8 (3, S, S), random through torch's global generator.
    """

    needs_processes = True

    def __init__(self, pictures: PictureSet, transform: Callable[[Tensor], Tensor]) -> None:
        self.pictures = pictures
        self.transform = transform

    def __getitem__(self, request: Request) -> Batch | DamagedPictureError:
        try:
            with callers_generator_kept():
                views = [
                    # Channels last, as the decoder gives them: stacking is then a plain copy.
                    self._view(index, seed).permute(1, 2, 0)
                    for index, seed in zip(
                        request.indices.tolist(), request.seeds.tolist(), strict=True
                    )
                ]
        except DamagedPictureError as error:
            return error
        # In a loading process default_collate stacks straight into shared memory.
        stacked: Tensor = default_collate(views)
        labels = torch.from_numpy(self.pictures.labels[request.indices])
        return Batch(stacked.permute(0, 3, 1, 2), labels, torch.from_numpy(request.indices))

    def _view(self, index: int, seed: int) -> Tensor:
        """Returns a view of one picture, uint8 (3, S, S); errors name the picture."""
        torch.default_generator.manual_seed(seed)
        try:
            return self.transform(decode(self.pictures.read(index)))
        except (OSError, DamagedPictureError) as error:
            place = f"{self.pictures.source}/{self.pictures.name(index)}"
            raise DamagedPictureError(f"{place} cannot be used: {error}") from error


@contextmanager
def callers_generator_kept() -> Iterator[None]:
    """Restores torch's global generator, which views are drawn from.

    In the training process itself it is the caller's: dropout's, for one.
    """
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)
