"""Which fields may change while a training runs, as population based training changes them."""

from collections.abc import Iterator
from typing import Any

from service.config.base import Config
from service.config.errors import ConfigurationError

_REGULARIZER = (
    "alpha.high",
    "alpha.low",
    "beta.high",
    "beta.low",
    "drop_prob",
    "earlier_factor",
    "p_l",
    "ramp.start",
)
_NETWORKS = ("model", "model.backbone")

CHANGEABLE: frozenset[str] = frozenset(
    {
        *(f"{network}.regularizer.{field}" for network in _NETWORKS for field in _REGULARIZER),
        "loss.label_smoothing",
        "mixing.cutmix_alpha",
        "mixing.mixup_alpha",
        "mixing.probability",
        "optimizer.beta1",
        "optimizer.beta2",
        "optimizer.eps",
        "optimizer.lr",
        "optimizer.momentum",
        "optimizer.nesterov",
        "optimizer.norm_weight_decay",
        "optimizer.weight_decay",
        "schedule.end_factor",
        "schedule.factor",
    }
)
"""Dotted paths of the fields whose value may change between two steps: nothing is built or compiled
anew for them. Which of them a configuration has depends on its kinds."""


def check_changes(before: Config, after: Config) -> None:
    """Checks that two configurations differ in nothing but fields that may change.

    Raises:
        ConfigurationError: They differ in another one.
    """
    for path, old, new in _differences(before.model_dump(), after.model_dump(), ""):
        if path not in CHANGEABLE:
            raise ConfigurationError(
                f"{path}: cannot change from {old} to {new} while a training runs; only "
                f"{', '.join(sorted(CHANGEABLE))} can"
            )


def _differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401  # trees
    """Yields the path and both values of every leaf in which two trees differ."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield path, old, new
        return
    for key in {**old, **new}:
        below = f"{path}.{key}" if path else key
        yield from _differences(old.get(key), new.get(key), below)
