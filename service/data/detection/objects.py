"""The objects of one view, as detectors are trained on them."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Objects:
    """Ground truth of one view, in the view's pixels; crowds and degenerate objects are left out.

    The fields are torchvision's, so that its detectors take them as they are.
    """

    boxes: Tensor
    """float32 (k, 4): left, top, right, bottom."""
    labels: Tensor
    """int64 (k,), 1 to C: the category's place in `DetectionSet.categories` plus one. 0 is the
    background."""
    masks: Tensor | None
    """uint8 (k, H, W), 0 or 1; None where the detector needs none."""

    def __len__(self) -> int:
        return len(self.labels)
