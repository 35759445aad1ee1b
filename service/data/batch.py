"""Batches, and making one from the places of its pictures and the seeds of their views."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from service.data.decoding import DamagedPictureError, decode_excerpt
from service.data.excerpts import View
from service.data.pictures import PictureSet
from service.data.random_crops import RandomCrops
from service.data.reading import contents
from service.data.skipping import Failure, not_skipped

_CANDIDATES = 16
"""Pictures that are tried as a stand-in before a black one is taken."""
_BLACK = (64, 64, 3)


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
    failures: tuple[Failure, ...] = ()
    """The pictures that were wanted, cannot be used, and are left out."""
    stands_in: bool = False
    """Whether nothing wanted could be used: the one picture here is another, and counts for
    nothing. It is here because workers that train together pass through the network together."""

    def __len__(self) -> int:
        """Returns how many pictures count."""
        return 0 if self.stands_in else len(self.labels)

    def to(self, device: torch.device) -> "Batch":
        """Returns the batch on a device, its views made there; from pinned memory nothing waits."""
        moved = self._each(lambda tensor: tensor.to(device, non_blocking=True))
        if moved.crops is None:
            return moved
        return replace(moved, pictures=moved.crops.applied_to(moved.pictures), crops=None)

    def pin_memory(self) -> "Batch":
        """Returns the batch in page-locked memory; the DataLoader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            pictures=change(self.pictures),
            labels=change(self.labels),
            indices=change(self.indices),
            crops=None if self.crops is None else self.crops.each(change),
        )


@dataclass(frozen=True)
class Request:
    """The pictures of one batch and the seeds of their views."""

    indices: NDArray[np.int64]
    """(n,)."""
    seeds: NDArray[np.uint64]
    """(n,)."""


def parts_of(request: Request, parts: int) -> list[Request]:
    """Splits a request into at most so many, which together ask for the same in the same order."""
    split = min(parts, len(request.indices))
    pairs = zip(
        np.array_split(request.indices, split), np.array_split(request.seeds, split), strict=True
    )
    return [Request(indices, seeds) for indices, seeds in pairs]


def joined(parts: Sequence[Batch]) -> Batch:
    """Returns the batch that `parts_of` was asked for, of `Views` that made its parts."""
    failures = tuple(failure for part in parts for failure in part.failures)
    usable = [part for part in parts if not part.stands_in]
    if len(usable) < 2:
        # The first part begins as the whole request does, and so do its stand-ins.
        return replace((usable or parts)[0], failures=failures)
    # Channels last, as the parts are.
    stacked = torch.cat([part.pictures.permute(0, 2, 3, 1) for part in usable])
    whole = Batch(
        stacked.permute(0, 3, 1, 2),
        torch.cat([part.labels for part in usable]),
        torch.cat([part.indices for part in usable]),
        failures=failures,
    )
    return whole.pin_memory() if usable[0].pictures.is_pinned() else whole


class Views(Dataset[Batch | DamagedPictureError]):
    """Makes batches on request, in whichever process it is asked.

    A view depends on its picture and its seed and on nothing else, so leaving one out changes no
    other. An error is returned, not raised: torch would bury its one line in the traceback of the
    loading process.

    Args:
        pictures: Where the pictures come from.
        view: What is made of each picture, random through torch's global generator.
        skips: Whether a picture that cannot be used is left out of its batch, or is an error.
    """

    needs_processes = True

    def __init__(self, pictures: PictureSet, view: View, *, skips: bool = False) -> None:
        self.pictures = pictures
        self.view = view
        self.skips = skips

    def __getitem__(self, request: Request) -> Batch | DamagedPictureError:
        usable: dict[int, Tensor] = {}
        failures: list[Failure] = []
        wanted = zip(request.indices.tolist(), request.seeds.tolist(), strict=True)
        with callers_generator_kept():
            files = contents(self.pictures, request.indices.tolist())
            for place, ((index, seed), content) in enumerate(zip(wanted, files, strict=True)):
                try:
                    usable[place] = self._view(index, seed, content)
                except DamagedPictureError as error:
                    if not self.skips:
                        return not_skipped(error)
                    failures.append(Failure(index, str(error)))
            if not usable:
                return self._stand_in(request, tuple(failures))
        return self._batch(list(usable.values()), request.indices[list(usable)], tuple(failures))

    def _batch(
        self, views: list[Tensor], indices: NDArray[np.int64], failures: tuple[Failure, ...]
    ) -> Batch:
        # In a loading process default_collate stacks straight into shared memory. Channels last, as
        # the decoder gives them: stacking is then a plain copy.
        stacked: Tensor = default_collate([view.permute(1, 2, 0) for view in views])
        labels = torch.from_numpy(self.pictures.labels[indices])
        return Batch(
            stacked.permute(0, 3, 1, 2), labels, torch.from_numpy(indices), failures=failures
        )

    def _stand_in(self, request: Request, failures: tuple[Failure, ...]) -> Batch:
        """Returns a batch of one of the next pictures, or of a black one where none can be used.

        A picture of the set disturbs statistics over batches less than a black one.
        """
        first, seed = int(request.indices[0]), int(request.seeds[0])
        for index in range(first + 1, first + 1 + _CANDIDATES):
            picture = index % len(self.pictures)
            try:
                view = self._view(picture, seed, *contents(self.pictures, [picture]))
            except DamagedPictureError:
                continue
            break
        else:
            view = self.view(torch.zeros(_BLACK, dtype=torch.uint8).permute(2, 0, 1))
        return replace(self._batch([view], request.indices[:1], failures), stands_in=True)

    def _view(self, index: int, seed: int, content: bytes | OSError) -> Tensor:
        """Returns a view of one picture, uint8 (3, S, S); errors name the picture."""
        torch.default_generator.manual_seed(seed)
        try:
            if isinstance(content, OSError):
                raise content
            return decode_excerpt(content, self.view.plan)
        except (OSError, DamagedPictureError) as error:
            place = f"{self.pictures.source}/{self.pictures.name(index)}"
            reason = getattr(error, "strerror", None) or error
            raise DamagedPictureError(f"{place} cannot be used: {reason}") from error


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
