"""The order of pictures in which a batch holds wide or tall ones, so that little is padded."""

import numpy as np
from numpy.typing import NDArray

from service.config.detection_data import DetectionTrainConfig, ShortSideConfig
from service.data.detection.coco import DetectionSet
from service.data.order import SampleOrder, random_bits

Integers = NDArray[np.int64]


class GroupedOrder(SampleOrder):
    """The endless stream of samples, in batches of one group each as far as counts allow.

    Epochs are permutations, as in `SampleOrder`. Batch t takes positions [tB, (t + 1)B). Of the
    batches that lie within one epoch all but G - 1, for G groups, are of one group; a batch that
    straddles two epochs takes what is left of both. What a position holds depends on the seed, the
    epoch and B.

    Which samples are left over is drawn anew for each epoch, and so is the order of the batches.

    Args:
        groups: The group of each sample, (n,).
        seed: Seed of all permutations.
        batch_size: Samples of a step over all workers and micro-batches, B.

    Raises:
        ValueError: There are no samples, or `batch_size` is below 1.
    """

    def __init__(self, groups: Integers | NDArray[np.bool_], seed: int, batch_size: int) -> None:
        super().__init__(len(groups), seed)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1 (got {batch_size})")
        self.groups: Integers = groups.astype(np.int64)
        self.batch_size = batch_size

    def _drawn(self, epoch: int) -> Integers:
        """Draws the permutation of an epoch.

        The first places end the batch that the epoch before has begun. Whole batches of one group
        follow in random order, then mixed ones, then the beginning of a batch that the next epoch
        ends.
        """
        size, batch_size = self.size, self.batch_size
        bits = random_bits(self.seed, epoch, size + size // batch_size)
        blocks, rest = self._blocks(np.argsort(bits[:size], kind="stable"))
        head = min(-epoch * size % batch_size, size)
        within = (size - head) // batch_size
        order = np.argsort(bits[size : size + len(blocks)], kind="stable")
        chosen, spare = blocks[order[:within]], blocks[order[within:]]
        left = np.concatenate((spare.reshape(-1), rest))
        if epoch % 2:
            # What one epoch leaves last the next one starts with: fewer straddling batches mix.
            left = left[np.argsort(-self.groups[left], kind="stable")]
        else:
            left = left[np.argsort(self.groups[left], kind="stable")]
        return np.concatenate((left[:head], chosen.reshape(-1), left[head:]))

    def _blocks(self, permutation: Integers) -> tuple[Integers, Integers]:
        """Returns whole batches of one group each, (b, B), and the samples that are left."""
        groups = self.groups[permutation]
        by_group = np.argsort(groups, kind="stable")
        _, starts, counts = np.unique(groups[by_group], return_index=True, return_counts=True)
        places = np.arange(self.size) - np.repeat(starts, counts)
        whole = places < np.repeat(counts // self.batch_size * self.batch_size, counts)
        grouped = permutation[by_group]
        return grouped[whole].reshape(-1, self.batch_size), grouped[~whole]


def detection_order(
    pictures: DetectionSet, train: DetectionTrainConfig, seed: int, batch_size: int
) -> SampleOrder:
    """Returns the stream of training samples that the configuration asks for.

    Views of large-scale jitter are all of one size, so there is nothing to group.

    Args:
        pictures: The training pictures.
        train: What training sees of them.
        seed: Seed of all permutations.
        batch_size: Samples of a step over all workers and micro-batches.
    """
    if not train.group_by_aspect_ratio or not isinstance(train.scale, ShortSideConfig):
        return SampleOrder(len(pictures), seed)
    return GroupedOrder(aspect_groups(pictures.pictures.sizes), seed, batch_size)


def aspect_groups(sizes: Integers) -> Integers:
    """Returns 0 for pictures that are wide or square and 1 for tall ones, (n,).

    Args:
        sizes: Width and height of each picture, (n, 2).
    """
    return (sizes[:, 0] < sizes[:, 1]).astype(np.int64)
