"""The params of a run: what MLflow's comparison page shows."""

from pathlib import PurePath

from service.config.base import Range
from service.config.data import DrawnDataConfig
from service.config.imagenet import ImageNetConfig
from service.config.regularizer import ShakeDropConfig

Params = dict[str, str | float | int]


def comparison_params(config: ImageNetConfig, network: str, alpha: Range | None = None) -> Params:
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
        "train_size": config.data.train.size,
        **({"ema_decay": training.average.decay} if training.average.enabled else {}),
        **_mixing(config),
        "label_smoothing": config.loss.label_smoothing,
        "data": _data(config),
        "seed": training.seed,
    }


def _regularizer(config: ImageNetConfig, alpha: Range | None) -> Params:
    """Returns the regulariser's kind and strength, in the papers' symbols."""
    regularizer = config.model.regularizer
    params: Params = {"regularizer": regularizer.kind}
    if isinstance(regularizer, ShakeDropConfig):
        if alpha is None:
            raise ValueError("comparison_params needs alpha for a network with ShakeDrop")
        params |= {
            "P_L": regularizer.p_l,
            "alpha_low": alpha.low,
            "alpha_high": alpha.high,
            "beta_low": regularizer.beta.low,
            "beta_high": regularizer.beta.high,
            "level": regularizer.level,
            "gate": regularizer.gate,
        }
    return params


def _length(config: ImageNetConfig) -> Params:
    """Returns the length of the run: epochs, or steps where it is given in steps."""
    duration = config.training.duration
    name = "steps" if duration.unit == "st" else "epochs"
    return {name: int(duration.value) if duration.value.is_integer() else duration.value}


def _learning_rate(config: ImageNetConfig) -> float:
    """Returns the peak learning rate at the run's own batch size."""
    optimizer = config.optimizer
    if optimizer.reference_batch_size is None:
        return optimizer.lr
    return optimizer.lr * config.training.batch_size / optimizer.reference_batch_size


def _mixing(config: ImageNetConfig) -> Params:
    """Returns the strength of mixup and CutMix, of those that are on."""
    strengths = {"mixup": config.mixing.mixup_alpha, "cutmix": config.mixing.cutmix_alpha}
    return {name: strength for name, strength in strengths.items() if strength > 0}


def _data(config: ImageNetConfig) -> str:
    """Returns a short name of the data: its folder's, since kinds may hold the same pictures."""
    if isinstance(config.data, DrawnDataConfig):
        return config.data.kind
    return PurePath(config.data.root).name or config.data.kind
