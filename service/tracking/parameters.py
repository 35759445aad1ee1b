"""The params of a run: what MLflow's comparison page shows."""

from pathlib import PurePath

from service.config.base import Range
from service.config.cifar import CIFARConfig
from service.config.data import DrawnDataConfig, PicturesConfig
from service.config.imagenet import ImageNetConfig
from service.config.regularizer import (
    DropBlockConfig,
    RandomDropConfig,
    ShakeDropConfig,
    ShakeShakeConfig,
)
from service.config.small_data import SmallPicturesConfig

Recipe = ImageNetConfig | CIFARConfig
Params = dict[str, str | float | int]


def comparison_params(config: Recipe, network: str, alpha: Range | None = None) -> Params:
    """Returns the few values that tell runs apart, short and flat.

    MLflow compares the first three differing params in ASCII order, so P_L comes first, and the
    ends of a range are numbers of their own.

    Args:
        config: The resolved configuration.
        network: Name of the network.
        alpha: ShakeDrop's interval of α, with the ends that the configuration leaves to the
            network's block order.

    Raises:
        ValueError: The network uses ShakeDrop and `alpha` is missing.
    """
    training = config.training
    return {
        "model": network,
        **_regularizer(config, alpha),
        **_length(config),
        "batch_size": training.batch_size,
        "lr": _learning_rate(config),
        "weight_decay": config.optimizer.weight_decay,
        "optimizer": config.optimizer.kind,
        "schedule": config.schedule.kind,
        "precision": training.precision,
        **_pictures(config.data),
        **({"ema_decay": training.average.decay} if training.average.enabled else {}),
        **_mixing(config),
        "label_smoothing": config.loss.label_smoothing,
        "data": data_name(config),
        "seed": training.seed,
    }


def _regularizer(config: Recipe, alpha: Range | None) -> Params:
    """Returns the regulariser's kind and strength, in the papers' symbols."""
    regularizer = config.model.regularizer
    params: Params = {"regularizer": regularizer.kind}
    match regularizer:
        case ShakeDropConfig():
            return params | _shakedrop(regularizer, alpha)
        case RandomDropConfig():
            return params | {"P_L": regularizer.p_l}
        case ShakeShakeConfig():
            modes = {"forward": regularizer.forward, "backward": regularizer.backward}
            return params | modes | {"level": regularizer.level}
        case DropBlockConfig():
            block = {"drop_prob": regularizer.drop_prob, "block_size": regularizer.block_size}
            return params | block
    return params


def _shakedrop(regularizer: ShakeDropConfig, alpha: Range | None) -> Params:
    if alpha is None:
        raise ValueError("comparison_params needs alpha for a network with ShakeDrop")
    return {
        "P_L": regularizer.p_l,
        "alpha_low": alpha.low,
        "alpha_high": alpha.high,
        "beta_low": regularizer.beta.low,
        "beta_high": regularizer.beta.high,
        "level": regularizer.level,
        "gate": regularizer.gate,
    } | ({"placement": "branch"} if regularizer.placement == "branch" else {})


def _length(config: Recipe) -> Params:
    """Returns the length of the run: epochs, or steps where it is given in steps."""
    duration = config.training.duration
    name = "steps" if duration.unit == "st" else "epochs"
    value = float(duration.value)
    return {name: int(value) if value.is_integer() else value}


def _learning_rate(config: Recipe) -> float:
    """Returns the peak learning rate at the run's own batch size."""
    optimizer = config.optimizer
    if optimizer.reference_batch_size is None:
        return optimizer.lr
    return optimizer.lr * config.training.batch_size / optimizer.reference_batch_size


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


def data_name(config: Recipe) -> str:
    """Returns a short name of the data: its folder's, since kinds may hold the same pictures."""
    data = config.data
    if isinstance(data, DrawnDataConfig) or (
        isinstance(data, SmallPicturesConfig) and data.kind != "parquet"
    ):
        return data.kind
    return PurePath(data.root).name or data.kind
