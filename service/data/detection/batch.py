"""Batches of pictures with objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.data.detection.objects import Objects
from service.data.skipping import Failure

MULTIPLE = 32
"""Sides of a batch are multiples of this: the stride of a network's last stage."""

_BITS = 8


@dataclass(frozen=True)
class DetectionBatch:
    """Views with their objects.

    Objects are kept in a few tensors, masks with eight pixels to a byte: what crosses from a
    loading process to the training process and to the device takes an eighth of the bytes, and a
    fraction of the file descriptors and copies.
    """

    pictures: Tensor
    """uint8 (n, 3, H, W), RGB, channels last in memory. Each view is in the upper left corner and
    the rest 0; H and W are multiples of 32."""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of each view."""
    packed: "PackedObjects"
    """The objects of all views."""
    indices: Tensor
    """int64 (n,), always on the CPU: where each picture stands in its set."""
    failures: tuple[Failure, ...] = ()
    """The pictures that cannot be used: in training the next one that can stands for each, in
    evaluation a blank view."""

    @property
    def objects(self) -> tuple[Objects, ...]:
        """The objects of each view, on the device of the pictures; none in evaluation."""
        return self.packed.unpacked(self.sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def to(self, device: torch.device) -> "DetectionBatch":
        """Returns the batch on a device; from pinned memory nothing waits."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "DetectionBatch":
        """Returns the batch in page-locked memory; the DataLoader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "DetectionBatch":
        return DetectionBatch(
            change(self.pictures),
            self.sizes,
            self.packed.each(change),
            self.indices,
            self.failures,
        )


@dataclass(frozen=True)
class PackedObjects:
    """The objects of several views, one after the other."""

    boxes: Tensor
    """float32 (k, 4)."""
    labels: Tensor
    """int64 (k,)."""
    masks: Tensor | None
    """uint8 (b,): pixels row by row, eight to a byte, the first one in the lowest bit."""
    counts: tuple[int, ...]
    """Objects of each view."""

    def each(self, change: Callable[[Tensor], Tensor]) -> "PackedObjects":
        """Returns the same objects after a change of where they lie."""
        masks = None if self.masks is None else change(self.masks)
        return PackedObjects(change(self.boxes), change(self.labels), masks, self.counts)

    def unpacked(self, sizes: Sequence[tuple[int, int]]) -> tuple[Objects, ...]:
        """Returns the objects of each view.

        Args:
            sizes: Height and width of each view.
        """
        counts = list(self.counts)
        masks: list[Tensor | None] = [None] * len(sizes)
        if self.masks is not None:
            shapes = [(count, *size) for count, size in zip(counts, sizes, strict=True)]
            masks = list(_unpacked_masks(self.masks, shapes))
        return tuple(
            map(Objects, torch.split(self.boxes, counts), torch.split(self.labels, counts), masks)
        )


def stacked(
    pictures: Sequence[Tensor],
    objects: Sequence[Objects],
    indices: Sequence[int],
    failures: Sequence[Failure] = (),
) -> DetectionBatch:
    """Makes a batch.

    Args:
        pictures: n views, uint8 (3, h, w).
        objects: The objects of each; all with masks or all without.
        indices: Where each picture stands in its set.
        failures: What could not be used.
    """
    sizes = tuple((int(view.shape[1]), int(view.shape[2])) for view in pictures)
    height, width = (-(-max(sides) // MULTIPLE) * MULTIPLE for sides in zip(*sizes, strict=True))
    # Channels last, as the decoder gives them: each row of a view is then a plain copy.
    batch = torch.zeros((len(sizes), height, width, 3), dtype=torch.uint8)
    for place, view, (high, wide) in zip(batch, pictures, sizes, strict=True):
        place[:high, :wide] = view.permute(1, 2, 0)
    return DetectionBatch(
        batch.permute(0, 3, 1, 2),
        sizes,
        _packed(objects),
        torch.tensor(indices, dtype=torch.int64),
        tuple(failures),
    )


def _packed(objects: Sequence[Objects]) -> PackedObjects:
    masks = [view.masks for view in objects if view.masks is not None]
    if masks and len(masks) < len(objects):
        raise ValueError("some of the views have masks and some have none")
    return PackedObjects(
        torch.cat([view.boxes for view in objects]),
        torch.cat([view.labels for view in objects]),
        _packed_masks(masks) if masks else None,
        tuple(len(view) for view in objects),
    )


def _packed_masks(masks: Sequence[Tensor]) -> Tensor:
    """Returns masks (k, h, w) of 0 and 1 in bits; each view begins with a whole byte."""
    # numpy has the loop that torch lacks.
    parts = [np.packbits(view.numpy().reshape(-1), bitorder="little") for view in masks]
    return torch.from_numpy(np.concatenate(parts))


def _unpacked_masks(packed: Tensor, shapes: Sequence[tuple[int, int, int]]) -> list[Tensor]:
    """Returns masks of the given shapes, uint8 (k, h, w); on a device nothing waits."""
    pixels = [count * height * width for count, height, width in shapes]
    parts = torch.split(packed, [-(-number // _BITS) for number in pixels])
    shifts = torch.arange(_BITS, dtype=torch.uint8, device=packed.device)
    return [
        part[:, None].bitwise_right_shift(shifts).bitwise_and_(1).view(-1)[:number].view(shape)
        for part, number, shape in zip(parts, pixels, shapes, strict=True)
    ]
