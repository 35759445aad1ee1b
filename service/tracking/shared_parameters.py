"""Params that runs of all kinds have in common."""

from service.config.base import Range
from service.config.regularizer import (
    DropBlockConfig,
    RandomDropConfig,
    RegularizerConfig,
    ShakeDropConfig,
    ShakeShakeConfig,
)
from service.config.run import RunConfig

Params = dict[str, str | float | int]


def regularizer_params(regularizer: RegularizerConfig, alpha: Range | None) -> Params:
    """Returns the regulariser's kind and strength, in the papers' symbols.

    MLflow compares the first three differing params in ASCII order, so P_L comes first, and the
    ends of a range are numbers of their own.

    Args:
        regularizer: The regulariser of the residual network.
        alpha: ShakeDrop's interval of α, with the ends that the configuration leaves to the
            network's block order.

    Raises:
        ValueError: The network uses ShakeDrop and `alpha` is missing.
    """
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


def optimization_params(config: RunConfig) -> Params:
    """Returns length, batch, optimiser, schedule and precision of a run."""
    training = config.training
    return {
        **_length(config),
        "batch_size": training.batch_size,
        "lr": _learning_rate(config),
        "weight_decay": config.optimizer.weight_decay,
        "optimizer": config.optimizer.kind,
        "schedule": config.schedule.kind,
        "precision": training.precision,
    }


def average_params(config: RunConfig) -> Params:
    """Returns the decay of the weights' moving average, if there is one."""
    average = config.training.average
    return {"ema_decay": average.decay} if average.enabled else {}


def _shakedrop(regularizer: ShakeDropConfig, alpha: Range | None) -> Params:
    if alpha is None:
        raise ValueError("the params of a network with ShakeDrop need alpha")
    return {
        "P_L": regularizer.p_l,
        "alpha_low": alpha.low,
        "alpha_high": alpha.high,
        "beta_low": regularizer.beta.low,
        "beta_high": regularizer.beta.high,
        "level": regularizer.level,
        "gate": regularizer.gate,
    } | ({"placement": "branch"} if regularizer.placement == "branch" else {})


def _length(config: RunConfig) -> Params:
    """Returns the length of the run: epochs, or steps where it is given in steps."""
    duration = config.training.duration
    name = "steps" if duration.unit == "st" else "epochs"
    value = float(duration.value)
    return {name: int(value) if value.is_integer() else value}


def _learning_rate(config: RunConfig) -> float:
    """Returns the peak learning rate at the run's own batch size."""
    optimizer = config.optimizer
    if optimizer.reference_batch_size is None:
        return optimizer.lr
    return optimizer.lr * config.training.batch_size / optimizer.reference_batch_size
