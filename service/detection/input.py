"""From the loader's uint8 views to a detector's input batch, and back to the views."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from service.data.normalization import Normalization

_MULTIPLE = 32
"""Sides of a batch are multiples of the last stage's stride, pixels."""

Targets = Sequence[Mapping[str, Tensor]]


class ViewInput(nn.Module):
    """Stands where torchvision's detectors have their `GeneralizedRCNNTransform`.

    The loader has resized the pictures, so this only normalises and pads: views (3, h, w) become a
    batch (n, 3, H, W) whose padding is 0 after normalisation, as torchvision pads. A view takes one
    kernel, which reads its bytes and writes it normalised to its place in the batch.

    Args:
        mean: Mean of each colour channel, of values in [0, 1].
        std: Standard deviation of each colour channel.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalization = Normalization(mean, std)

    def forward(
        self, pictures: Sequence[Tensor], targets: Targets | None = None
    ) -> tuple[ImageList, Targets | None]:
        """Returns the batch with the views' sizes, in float32, and the targets as they are.

        Args:
            pictures: uint8 views (3, h, w) on the detector's device.
            targets: Boxes, labels and masks in the views' pixels; None in evaluation.

        Raises:
            ValueError: A picture is not of type uint8.
        """
        for picture in pictures:
            if picture.dtype != torch.uint8:
                raise ValueError(f"a detector takes uint8 pictures (got {picture.dtype})")
        sizes = [(int(picture.shape[-2]), int(picture.shape[-1])) for picture in pictures]
        height, width = (_rounded_up(max(sides)) for sides in zip(*sizes, strict=True))
        scale, shift = self.normalization.scale, self.normalization.shift
        batch = scale.new_zeros(len(sizes), scale.shape[0], height, width)
        for picture, (h, w), place in zip(pictures, sizes, batch, strict=True):
            torch.addcmul(shift, picture, scale, out=place[:, :h, :w])
        return ImageList(batch, sizes), targets

    def postprocess(
        self,
        detections: list[dict[str, Tensor]],
        sizes: Sequence[tuple[int, int]],
        original_sizes: Sequence[tuple[int, int]],
    ) -> list[dict[str, Tensor]]:
        """Returns detections as they are: boxes in the view's pixels, masks of 28x28.

        Masks are pasted into pictures of the stored size elsewhere, off the device's critical path.
        """
        return detections


def _rounded_up(side: int) -> int:
    return -(-side // _MULTIPLE) * _MULTIPLE
