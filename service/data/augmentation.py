"""What is done to one decoded picture: random views for training, one fixed view for evaluation.

All work on uint8 RGB tensors (3, height, width). Randomness comes from torch's global CPU
generator, because torchvision's policies know no other; `service.data.batch` seeds it. torchvision
takes a while to import, and only policies and random erasing need it.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from service.config.data import (
    AutoAugmentConfig,
    NoAugmentation,
    PicturesConfig,
    RandAugmentConfig,
    TrivialAugmentConfig,
)
from service.config.small_data import (
    SmallAutoAugmentConfig,
    SmallPicturesConfig,
    SVHNDataConfig,
)
from service.data.excerpts import Excerpt, central, interpolate, random_rectangle

if TYPE_CHECKING:
    from torchvision.transforms import v2

_ATTEMPTS = 10
"""Rectangles that are drawn until one fits into the picture, as in torchvision."""


class TrainingView:
    """The random view: a crop resized with antialiasing, flipped or not, a policy, random erasing.

    Args:
        config: What is done to training pictures.
    """

    def __init__(self, config: PicturesConfig) -> None:
        train = config.train
        self._size = train.size
        self._area = (train.crop_area.low, train.crop_area.high)
        self._ratio = (train.crop_ratio.low, train.crop_ratio.high)
        self._interpolation = config.interpolation
        self._flip = train.flip
        steps = _policy(train.augmentation)
        if train.random_erasing:
            from torchvision.transforms import v2

            mean = [round(255 * channel) for channel in config.mean]
            steps.append(v2.RandomErasing(train.random_erasing, value=mean))
        self._rest = steps

    def plan(self, height: int, width: int) -> Excerpt:
        """Draws what is shown of a picture of this size."""
        # One call of torch's for all that is drawn: each takes as long as the rest of this.
        flip, *draws = torch.rand(1 + 4 * _ATTEMPTS).tolist()
        rectangle = random_rectangle(height, width, self._area, self._ratio, draws)
        return Excerpt(*rectangle, partial(self._finish, flip=flip < self._flip))

    def __call__(self, picture: Tensor) -> Tensor:
        """Makes a view, uint8 (3, S, S), of a picture, uint8 (3, h, w)."""
        return self.plan(picture.shape[1], picture.shape[2]).of(picture)

    def _finish(self, pixels: Tensor, flip: bool) -> Tensor:
        view = interpolate(pixels, self._interpolation, size=(self._size, self._size))
        if flip:
            view = view.flip(2)
        for step in self._rest:
            view = step(view)
        return view


def _policy(
    config: NoAugmentation | RandAugmentConfig | AutoAugmentConfig | TrivialAugmentConfig,
) -> list[Any]:
    """Returns the policy's transforms, none or one.

    Their rotations and shears are bilinear whatever the resize is: torchvision has no bicubic ones
    for tensors.
    """
    if isinstance(config, NoAugmentation):
        return []
    from torchvision.transforms import InterpolationMode, v2

    interpolation = InterpolationMode.BILINEAR
    match config:
        case RandAugmentConfig():
            return [
                v2.RandAugment(config.operations, config.magnitude, interpolation=interpolation)
            ]
        case AutoAugmentConfig():
            return [v2.AutoAugment(interpolation=interpolation)]
        case TrivialAugmentConfig():
            return [v2.TrivialAugmentWide(interpolation=interpolation)]


class EvaluationView:
    """The fixed view: the shorter side resized with antialiasing, then the centre.

    Args:
        config: What evaluation does to pictures.
    """

    def __init__(self, config: PicturesConfig) -> None:
        self._resize = config.evaluation.resize
        self._size = config.evaluation.size
        self._interpolation = config.interpolation

    def plan(self, height: int, width: int) -> Excerpt:
        """Returns what is shown of a picture of this size."""
        return central(height, width, self._resize, self._size, self._interpolation)

    def __call__(self, picture: Tensor) -> Tensor:
        """Makes the view, uint8 (3, S, S), of a picture, uint8 (3, h, w)."""
        return self.plan(picture.shape[1], picture.shape[2]).of(picture)


def small_policy(config: SmallPicturesConfig) -> "v2.Transform | None":
    """Returns the policy uint8 (3, 32, 32) → uint8 (3, 32, 32), if there is one.

    Rotations and shears take the nearest pixel, as AutoAugment's own code does on CIFAR.
    """
    policy = config.train.augmentation
    if isinstance(policy, NoAugmentation):
        return None
    from torchvision.transforms import AutoAugmentPolicy, v2

    match policy:
        case RandAugmentConfig():
            return v2.RandAugment(policy.operations, policy.magnitude)
        case SmallAutoAugmentConfig():
            own = "svhn" if isinstance(config, SVHNDataConfig) else "cifar10"
            return v2.AutoAugment(
                AutoAugmentPolicy(own if policy.policy == "auto" else policy.policy)
            )
        case TrivialAugmentConfig():
            return v2.TrivialAugmentWide()
