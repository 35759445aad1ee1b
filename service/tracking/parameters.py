"""The params of a run: what MLflow's comparison page shows."""

import re
from pathlib import PurePath
from urllib.parse import urlsplit

from service.config.base import Range
from service.config.cifar import CIFARConfig
from service.config.coco import COCOConfig
from service.config.data import DrawnDataConfig, PicturesConfig
from service.config.detection_data import (
    DetectionTrainConfig,
    DrawnScenesConfig,
    LargeScaleJitterConfig,
)
from service.config.imagenet import ImageNetConfig
from service.config.small_data import SmallPicturesConfig
from service.tracking.shared_parameters import (
    Params,
    average_params,
    optimization_params,
    regularizer_params,
)

__all__ = ["Params", "Recipe", "comparison_params", "data_name", "detection_params"]

Recipe = ImageNetConfig | CIFARConfig

_CHECKPOINT = re.compile(r"step_\d+")


def comparison_params(config: Recipe, network: str, alpha: Range | None = None) -> Params:
    """Returns the few values that tell runs of classification apart, short and flat.

    Args:
        config: The resolved configuration.
        network: Name of the network.
        alpha: ShakeDrop's interval of α, with the ends that the configuration leaves to the
            network's block order.

    Raises:
        ValueError: The network uses ShakeDrop and `alpha` is missing.
    """
    return {
        "model": network,
        **regularizer_params(config.model.regularizer, alpha),
        **optimization_params(config),
        **_pictures(config.data),
        **average_params(config),
        **_mixing(config),
        "label_smoothing": config.loss.label_smoothing,
        "data": data_name(config),
        "seed": config.training.seed,
    }


def detection_params(config: COCOConfig, network: str, alpha: Range | None = None) -> Params:
    """Returns the few values that tell runs of detection apart, short and flat.

    Args:
        config: The resolved configuration.
        network: Name of the backbone's network.
        alpha: See `comparison_params`.

    Raises:
        ValueError: The backbone uses ShakeDrop and `alpha` is missing.
    """
    model = config.model
    return {
        "model": model.kind,
        "backbone": network,
        **regularizer_params(model.backbone.regularizer, alpha),
        "trained_stages": model.trained_stages,
        "batch_norm": model.batch_norm,
        "backbone_lr_multiplier": model.backbone_lr_multiplier,
        "heads": model.heads,
        **optimization_params(config),
        **_scenes(config.data.train),
        **average_params(config),
        "weights": weights_name(model.weights),
        "data": data_name(config),
        "seed": config.training.seed,
    }


def weights_name(address: str | None) -> str:
    """Returns a short name of starting weights: their run's, their file's, or none.

    `/runs/a-run/step_00001200` is a-run, `/weights/resnet50.pth` is resnet50, `models:/name/3` is
    name/3.
    """
    if address is None:
        return "none"
    parts = urlsplit(address)
    if parts.scheme in ("runs", "models"):
        return parts.path.strip("/")
    path = PurePath(parts.path if parts.scheme else address)
    if _CHECKPOINT.fullmatch(path.name):
        return path.parent.name or path.name
    return path.stem if path.suffix in (".safetensors", ".pth", ".pt") else path.name or address


def data_name(config: Recipe | COCOConfig) -> str:
    """Returns a short name of the data: its folder's, since kinds may hold the same pictures."""
    data = config.data
    if isinstance(data, DrawnScenesConfig):
        # The drawn pictures of classification are called drawn.
        return "drawn_scenes"
    if isinstance(data, DrawnDataConfig) or (
        isinstance(data, SmallPicturesConfig) and data.kind != "parquet"
    ):
        return data.kind
    return PurePath(data.root).name or data.kind


def _mixing(config: Recipe) -> Params:
    """Returns the strength of mixup and CutMix, of those that are on."""
    strengths = {"mixup": config.mixing.mixup_alpha, "cutmix": config.mixing.cutmix_alpha}
    return {name: strength for name, strength in strengths.items() if strength > 0}


def _pictures(data: PicturesConfig | SmallPicturesConfig) -> Params:
    """Returns what is done to training pictures, as far as it is not the usual."""
    augmentation = data.train.augmentation.kind
    params: Params = {} if augmentation == "none" else {"augmentation": augmentation}
    if isinstance(data, SmallPicturesConfig):
        cutout = {"cutout": data.train.cutout} if data.train.cutout else {}
        reduced = {"train_pictures": data.train_pictures} if data.train_pictures else {}
        return params | cutout | reduced
    return {"train_size": data.train.size} | params


def _scenes(train: DetectionTrainConfig) -> Params:
    """Returns what is done to training pictures with objects, as far as it is not the usual."""
    scale = train.scale
    params: Params = {"scale": scale.kind}
    if isinstance(scale, LargeScaleJitterConfig):
        params |= {"train_size": scale.size, "scale_low": scale.low, "scale_high": scale.high}
    else:
        params |= {"side_low": min(scale.sides), "side_high": max(scale.sides)}
    strengths = {
        "photometric_distortion": train.photometric_distortion,
        "copy_paste": train.copy_paste,
    }
    return params | {name: strength for name, strength in strengths.items() if strength > 0}
