"""A split of pictures with objects, as COCO has them: pictures on disk, annotations in memory."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from service.data.detection.annotations import Annotations, as_coco
from service.data.detection.segmentations import Segmentation
from service.data.packing import PackedStrings

_SIZES_IN_DIGEST = 1024

ObjectArrays = tuple[NDArray[np.float32], NDArray[np.int64], list[Segmentation]]
"""Boxes (k, 4) as left, top, right, bottom, labels (k,), and k segmentations, or none where they
were not read."""


@dataclass(frozen=True)
class Category:
    """A kind of object."""

    id: int
    """As the annotation file has it; need not be contiguous."""
    name: str
    """For people."""


@dataclass(frozen=True)
class PictureEntry:
    """What the annotation file says of a picture."""

    id: int
    """As the annotation file has it."""
    file: str
    """Path below the split's `source`."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""


@dataclass(frozen=True, eq=False)
class PictureEntries(Sequence[PictureEntry]):
    """The pictures of a split, in the file's order; arrays that loading processes share."""

    ids: NDArray[np.int64]
    """(n,)."""
    sizes: NDArray[np.int64]
    """Width and height in pixels, (n, 2)."""
    files: PackedStrings
    """Path of each picture below the split's `source`."""

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> PictureEntry: ...

    @overload
    def __getitem__(self, index: slice) -> list[PictureEntry]: ...

    def __getitem__(self, index: int | slice) -> PictureEntry | list[PictureEntry]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        width, height = self.sizes[place].tolist()
        return PictureEntry(int(self.ids[place]), self.files[place], width, height)


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """One split; made by `read_detection_set`. Can be pickled, and used after a fork."""

    categories: tuple[Category, ...]
    """In the order of the labels: label c is `categories[c - 1]`."""
    pictures: PictureEntries
    """In the file's order; n of them."""
    source: str
    """The folder that the pictures' paths are relative to; links are resolved."""
    annotation_file: Path
    """The file that was read."""
    findings: tuple[str, ...]
    """What the check found and repaired, one line for people each."""
    stored: Annotations
    """Crowds too; without what was dropped."""
    content: str
    """32 hexadecimal digits of the annotation file's bytes."""

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, index: int) -> bytes:
        """Returns an encoded picture.

        Raises:
            OSError: The file cannot be read, or a link leads out of `source`.
        """
        path = Path(os.path.realpath(f"{self.source}/{self.name(index)}", strict=True))
        if not path.is_relative_to(self.source):
            raise PermissionError(f"it is a link that leads out of {self.source}")
        return path.read_bytes()

    def name(self, index: int) -> str:
        """Returns the picture's path below `source`."""
        return self.pictures.files[index]

    def annotations(self, index: int) -> ObjectArrays:
        """Returns the objects of a picture, in the stored picture's pixels.

        Crowds are left out. Boxes are clipped to the picture.
        """
        width, height = self.pictures.sizes[index].tolist()
        which = self.stored.range(index)
        chosen = self.stored.objects(which)
        boxes = self.stored.corners(which, width, height)[chosen - which[0]]
        segmentations: list[Segmentation] = []
        if self.stored.segmentations is not None:
            segmentations = [
                self.stored.segmentation(place, width, height) for place in chosen.tolist()
            ]
        return boxes, self.stored.labels[chosen], segmentations

    def ground_truth(self) -> dict[str, Any]:
        """Returns the split as a COCO dictionary, for evaluation.

        Crowds are there, and boxes, areas and outlines are those of the file to the last bit;
        annotations that the check dropped are not. Without masks there are no segmentations.
        """
        ids = np.array([category.id for category in self.categories], np.int64)
        images = []
        annotations = []
        for place, entry in enumerate(self.pictures):
            images.append(
                {
                    "id": entry.id,
                    "file_name": entry.file,
                    "width": entry.width,
                    "height": entry.height,
                }
            )
            picture = (place, entry.id, entry.width, entry.height)
            annotations += as_coco(self.stored, ids, picture)
        categories = [{"id": category.id, "name": category.name} for category in self.categories]
        return {"images": images, "annotations": annotations, "categories": categories}

    def digest(self) -> str:
        """Returns 32 hexadecimal digits that tell this set from others; a moved set keeps them.

        They cover the annotation file, which pictures of it are used, the categories, and the file
        sizes of 1024 pictures spread evenly over the set. No picture is read.
        """
        digest = hashlib.blake2b(self.content.encode(), digest_size=16)
        for category in self.categories:
            digest.update(f"{category.id} {category.name}\0".encode(errors="surrogatepass"))
        digest.update(self.pictures.ids.astype("<i8").tobytes())
        count = min(len(self), _SIZES_IN_DIGEST)
        for index in np.linspace(0, len(self) - 1, count, dtype=np.int64).tolist():
            size = (Path(self.source) / self.name(index)).stat().st_size
            digest.update(size.to_bytes(8, "little"))
        return digest.hexdigest()
