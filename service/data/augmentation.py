"""What is done to one decoded picture: random views for training, one fixed view for evaluation.

All work on uint8 RGB tensors (3, height, width). Randomness comes from torch's global CPU
generator, because torchvision's policies know no other; `service.data.batch` seeds it.
"""

from typing import Any

from torchvision.transforms import AutoAugmentPolicy, InterpolationMode, v2

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


def training_transform(config: PicturesConfig) -> v2.Transform:
    """Returns the transform uint8 (3, h, w) → uint8 (3, S, S), S = `train.size`, for any h and w.

    In order: random crop resized with antialiasing, horizontal flip, policy, random erasing.
    """
    train = config.train
    steps = [
        v2.RandomResizedCrop(
            train.size,
            scale=(train.crop_area.low, train.crop_area.high),
            ratio=(train.crop_ratio.low, train.crop_ratio.high),
            interpolation=InterpolationMode(config.interpolation),
            antialias=True,
        )
    ]
    if train.flip:
        steps.append(v2.RandomHorizontalFlip(train.flip))
    steps += _policy(train.augmentation)
    if train.random_erasing:
        mean = [round(255 * channel) for channel in config.mean]
        steps.append(v2.RandomErasing(train.random_erasing, value=mean))
    return v2.Compose(steps)


def _policy(
    config: NoAugmentation | RandAugmentConfig | AutoAugmentConfig | TrivialAugmentConfig,
) -> list[Any]:
    """Returns the policy's transforms, none or one.

    Their rotations and shears are bilinear whatever the resize is: torchvision has no bicubic ones
    for tensors.
    """
    interpolation = InterpolationMode.BILINEAR
    match config:
        case NoAugmentation():
            return []
        case RandAugmentConfig():
            return [
                v2.RandAugment(config.operations, config.magnitude, interpolation=interpolation)
            ]
        case AutoAugmentConfig():
            return [v2.AutoAugment(interpolation=interpolation)]
        case TrivialAugmentConfig():
            return [v2.TrivialAugmentWide(interpolation=interpolation)]


def evaluation_transform(config: PicturesConfig) -> v2.Transform:
    """Returns the transform uint8 (3, h, w) → uint8 (3, S, S), S = `evaluation.size`.

    The shorter side is resized with antialiasing, then the centre is cut out.
    """
    evaluation = config.evaluation
    interpolation = InterpolationMode(config.interpolation)
    return v2.Compose(
        [
            v2.Resize(evaluation.resize, interpolation=interpolation, antialias=True),
            v2.CenterCrop(evaluation.size),
        ]
    )


def small_policy(config: SmallPicturesConfig) -> v2.Transform | None:
    """Returns the policy uint8 (3, 32, 32) → uint8 (3, 32, 32), if there is one.

    Rotations and shears take the nearest pixel, as AutoAugment's own code does on CIFAR.
    """
    policy = config.train.augmentation
    match policy:
        case NoAugmentation():
            return None
        case RandAugmentConfig():
            return v2.RandAugment(policy.operations, policy.magnitude)
        case SmallAutoAugmentConfig():
            own = "svhn" if isinstance(config, SVHNDataConfig) else "cifar10"
            return v2.AutoAugment(
                AutoAugmentPolicy(own if policy.policy == "auto" else policy.policy)
            )
        case TrivialAugmentConfig():
            return v2.TrivialAugmentWide()
