"""Sets of small pictures, decoded and in memory."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.config.errors import ConfigurationError

SIDE = 32
"""Width and height of a small picture, pixels."""


@dataclass(frozen=True, eq=False)
class DecodedPictures:
    """One split of labelled pictures of 32 × 32 pixels."""

    pictures: NDArray[np.uint8]
    """RGB, (n, 3, 32, 32)."""
    labels: NDArray[np.int64]
    """Class of each picture, (n,)."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of the labels."""
    source: str
    """Path of the files that the pictures come from, or a pattern of it."""

    def __post_init__(self) -> None:
        """Checks that the parts fit together.

        Raises:
            ConfigurationError: They do not; names the source.
        """
        if not len(self.pictures):
            raise ConfigurationError(f"{self.source}: holds no pictures")
        if self.pictures.dtype != np.uint8 or self.pictures.shape[1:] != (3, SIDE, SIDE):
            shape = "×".join(map(str, self.pictures.shape[1:]))
            raise ConfigurationError(
                f"{self.source}: pictures are {shape} {self.pictures.dtype}, not 3×32×32 uint8"
            )
        if self.labels.shape != (len(self.pictures),):
            raise ConfigurationError(
                f"{self.source}: {len(self.pictures)} pictures have {len(self.labels)} labels"
            )
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            worst = int(((self.labels < 0) | (self.labels >= len(self.classes))).argmax())
            raise ConfigurationError(
                f"{self.source}: picture {worst} has label {self.labels[worst]}, but there are "
                f"{len(self.classes)} classes"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """Returns 32 hexadecimal digits that cover the classes, all labels and all pixels."""
        content = hashlib.blake2b(digest_size=16)
        for name in self.classes:
            content.update(name.encode() + b"\0")
        content.update(self.labels.astype("<i8").data)
        content.update(np.ascontiguousarray(self.pictures).data)
        return content.hexdigest()


def balanced_subset(pictures: DecodedPictures, count: int, seed: int) -> DecodedPictures:
    """Returns `count` pictures, the same number of each class, in the order they had.

    Where the classes do not divide `count`, the first ones have one picture more.

    Args:
        pictures: The whole set; returned as it is if that is what `count` asks for.
        count: Pictures to choose.
        seed: Seed of the choice, which is the same on every machine and version of NumPy.

    Raises:
        ConfigurationError: There are too few pictures, over all or of a class.
    """
    if count > len(pictures):
        raise ConfigurationError(
            f"data.train_pictures: {count} are more than the {len(pictures)} there are; take "
            "fewer, or null for all"
        )
    if count == len(pictures):
        return pictures
    shares = np.full(len(pictures.classes), count // len(pictures.classes))
    shares[: count % len(shares)] += 1
    chosen = np.sort(
        np.concatenate(
            [_chosen(pictures, label, share, seed) for label, share in enumerate(shares)]
        )
    )
    return DecodedPictures(
        pictures.pictures[chosen], pictures.labels[chosen], pictures.classes, pictures.source
    )


def _chosen(pictures: DecodedPictures, label: int, share: int, seed: int) -> NDArray[np.int64]:
    """Returns the indices of `share` pictures of a class, by sorting random bits."""
    members = np.flatnonzero(pictures.labels == label)
    if share > len(members):
        raise ConfigurationError(
            f"data.train_pictures: asks for {share} pictures of class "
            f"{pictures.classes[label]!r}, which has {len(members)}; take fewer, or null for all"
        )
    # As in `SampleOrder`: NumPy promises the bits, and nothing about `Generator.permutation`.
    bits = np.random.Philox(np.random.SeedSequence((seed, label))).random_raw(len(members))
    return members[np.argsort(bits, kind="stable")[:share]]
