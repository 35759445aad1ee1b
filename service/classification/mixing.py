"""mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899), once a batch on the device."""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from service.config.optimization import MixingConfig

if TYPE_CHECKING:
    from torchvision.transforms import v2


class Mixing:
    """Mixes a batch with itself shifted by one sample.

    λ and the choice of method are drawn on the host, from torch's CPU generator, so that the
    device is not waited for; the arithmetic runs where the pictures are.
    """

    def __init__(self, config: MixingConfig, classes: int) -> None:
        self._probability = config.probability
        self._methods = _methods(config, classes)

    @property
    def active(self) -> bool:
        """Whether any batch is mixed."""
        return bool(self._methods) and self._probability > 0

    def __call__(self, pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mixed pictures and targets, or both as they came.

        Args:
            pictures: float (n, 3, H, W), normalised.
            labels: int64 (n,).

        Returns:
            Pictures of the same shape, and shares of classes (n, C), or the labels if not mixed.
        """
        if not self.active or torch.rand(()).item() >= self._probability:
            return pictures, labels
        chosen = self._methods[int(torch.randint(len(self._methods), ()).item())]
        return cast("tuple[Tensor, Tensor]", chosen(pictures, labels))


def _methods(config: MixingConfig, classes: int) -> "list[v2.Transform]":
    if not config.mixup_alpha and not config.cutmix_alpha:
        return []
    # It takes a while to import, and few runs mix.
    from torchvision.transforms import v2

    methods: list[v2.Transform] = []
    if config.mixup_alpha:
        methods.append(v2.MixUp(alpha=config.mixup_alpha, num_classes=classes))
    if config.cutmix_alpha:
        methods.append(v2.CutMix(alpha=config.cutmix_alpha, num_classes=classes))
    return methods
