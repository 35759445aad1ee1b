"""A batch as torchvision's detectors take it."""

from torch import Tensor

from service.data.detection.batch import DetectionBatch


def views_of(batch: DetectionBatch) -> list[Tensor]:
    """Returns each view of a batch without its padding, uint8 (3, h, w)."""
    pairs = zip(batch.pictures, batch.sizes, strict=True)
    return [picture[:, :height, :width] for picture, (height, width) in pairs]


def targets_of(batch: DetectionBatch) -> list[dict[str, Tensor]]:
    """Returns the objects of a batch as torchvision's detectors take them."""
    return [
        {"boxes": objects.boxes, "labels": objects.labels}
        | ({} if objects.masks is None else {"masks": objects.masks})
        for objects in batch.objects
    ]
