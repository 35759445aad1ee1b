"""Names of searched fields: short and flat, as MLflow's comparison page needs them."""

from collections.abc import Iterable, Mapping

from service.config.sweep import Value
from service.tracking.shared_parameters import Params

# The names that `comparison_params` gives to the same knob.
_KNOWN = {
    f"{network}.regularizer.{field}": name
    for network in ("model", "model.backbone")
    for field, name in (
        ("kind", "regularizer"),
        ("p_l", "P_L"),
        ("alpha.low", "alpha_low"),
        ("alpha.high", "alpha_high"),
        ("beta.low", "beta_low"),
        ("beta.high", "beta_high"),
    )
} | {
    "training.batch_size": "batch_size",
    "training.precision": "precision",
    "training.seed": "seed",
    "training.average.decay": "ema_decay",
    "optimizer.kind": "optimizer",
    "schedule.kind": "schedule",
    "mixing.mixup_alpha": "mixup",
    "mixing.cutmix_alpha": "cutmix",
    "data.train.size": "train_size",
    "data.evaluation.batch_size": "evaluation_batch_size",
    "data.train.cutout": "cutout",
    "data.train.augmentation.kind": "augmentation",
    "data.train.scale.kind": "scale",
    "data.train.scale.size": "train_size",
    "data.train.scale.low": "scale_low",
    "data.train.scale.high": "scale_high",
}


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Returns a name for each dotted path: `P_L`, `alpha_low`, `lr`, `momentum`.

    A path that has no name of its own takes its last part, and as many before it as tell it from
    the others.

    Args:
        paths: Dotted paths of fields.
    """
    names: dict[str, str] = {}
    for path in sorted(paths):
        parts = path.split(".")
        candidates = ["_".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        known = [_KNOWN[path]] if path in _KNOWN else []
        taken = set(names.values())
        names[path] = next(name for name in known + candidates if name not in taken)
    return names


def with_searched(params: Params, point: Mapping[str, Value], names: Mapping[str, str]) -> Params:
    """Returns a trial's params with the searched values that they do not show yet.

    Args:
        params: What `comparison_params` returned.
        point: Searched values by dotted path.
        names: What `short_names` returned.
    """
    added: Params = {}
    for path, value in point.items():
        if names[path] not in params:
            added[names[path]] = value if isinstance(value, int | float | str) else str(value)
    return params | added
