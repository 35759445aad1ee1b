"""A space in Optuna's words."""

import warnings
from typing import TYPE_CHECKING

from service.config.sweep import (
    ChoiceConfig,
    IntegerConfig,
    IntervalConfig,
    LogUniformConfig,
    TPESearchConfig,
    Value,
)
from service.search.dimension import Dimension
from service.search.space import Space
from service.search.trials import Mode, Point

# Only a search by Optuna pays for importing it.
if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial


def new_study(search: TPESearchConfig, mode: Mode) -> "Study":
    """Returns an empty study in memory, with the estimator that the search describes.

    Fields that only some trials have are estimated in groups, each from the trials that have them.

    Args:
        search: The search.
        mode: Whether a larger or a smaller metric is better.
    """
    import optuna
    from optuna.study import StudyDirection

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    metric = StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE
    time = [StudyDirection.MINIMIZE] if search.objectives == "metric_and_time" else []
    with warnings.catch_warnings():
        # Grouping has been "experimental" since 2021.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=search.start_trials,
            seed=search.seed % 2**32,
            multivariate=True,
            group=True,
        )
    return optuna.create_study(directions=[metric, *time], sampler=sampler)


def suggested(space: Space, trial: "Trial") -> Point:
    """Returns the point that a new trial of a study takes."""
    point: Point = {}
    for dimension in space.dimensions:
        if space.active(dimension, point):
            point[dimension.path] = _suggested_value(dimension, trial)
    return point


def add_running(study: "Study", space: Space, point: Point) -> int | None:
    """Adds a trial that runs to a study.

    Returns:
        Its number in the study; None, and nothing is added, if the space has no such point.
    """
    from optuna.trial import TrialState, create_trial

    known = [dimension for dimension in space.dimensions if dimension.path in point]
    if len(known) < len(point) or not all(d.contains(point[d.path]) for d in known):
        return None
    trial = create_trial(
        state=TrialState.RUNNING,
        params={d.path: _parameter(d, point[d.path]) for d in known},
        distributions={d.path: _distribution(d) for d in known},
    )
    study.add_trial(trial)
    return study.get_trials(deepcopy=False)[-1].number


def _suggested_value(dimension: Dimension, trial: "Trial") -> Value:
    path, values = dimension.path, dimension.values
    match dimension.distribution:
        case ChoiceConfig(values=choices):
            return trial.suggest_categorical(path, choices)
        case IntegerConfig(low=low, high=high):
            return trial.suggest_int(path, low, high)
        case IntervalConfig(low=low, high=high) as interval:
            if values is None:
                logarithmic = isinstance(interval, LogUniformConfig)
                return trial.suggest_float(path, low, high, log=logarithmic)
            return values[trial.suggest_int(path, 0, len(values) - 1)]


def _distribution(dimension: Dimension) -> "BaseDistribution":
    """Returns what `_suggested_value` draws from; spaced points are known by their position."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    match dimension.distribution:
        case ChoiceConfig(values=choices):
            return CategoricalDistribution(choices)
        case IntegerConfig(low=low, high=high):
            return IntDistribution(low, high)
        case IntervalConfig(low=low, high=high) as interval:
            if dimension.values is None:
                return FloatDistribution(low, high, log=isinstance(interval, LogUniformConfig))
            return IntDistribution(0, len(dimension.values) - 1)


def _parameter(dimension: Dimension, value: Value) -> Value:
    """Returns a value as the study stores it."""
    if isinstance(dimension.distribution, IntervalConfig) and dimension.values is not None:
        return dimension.values.index(value)
    return value
