"""Runs of an experiment as methods: mean and deviation over seeds, beside what is published."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.config.errors import ConfigurationError
from service.tracking.client import unavailable_on_failure

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

EXPECTED_TAG = "expected"
"""Tag of a run: the published figure of its recipe, in percent."""

# What may differ between runs of one method.
_REPEATED = frozenset({"seed"})
# Strengths of one regulariser mean nothing beside another, so they are named only where they differ
# between methods of the same network and regulariser.
_STRENGTHS = frozenset(
    {
        *("P_L", "alpha_low", "alpha_high", "beta_low", "beta_high", "level", "gate", "placement"),
        *("forward", "backward", "drop_prob", "block_size"),
    }
)


@dataclass(frozen=True)
class FinishedRun:
    """What a comparison reads of a run."""

    params: Mapping[str, str]
    """What the run was configured with."""
    value: float
    """Its last value of the metric, in percent."""
    expected: float | None
    """The published value, if its recipe has one."""


@dataclass(frozen=True)
class Method:
    """Runs that differ in nothing but the seed."""

    params: Mapping[str, str]
    """What they share."""
    errors: tuple[float, ...]
    """Final error of each run, percent."""
    published: float | None
    """Published error, percent."""

    @property
    def mean(self) -> float:
        """Mean error, percent."""
        return statistics.fmean(self.errors)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation of the error; None for a single run."""
        return statistics.stdev(self.errors) if len(self.errors) > 1 else None

    @property
    def difference(self) -> float | None:
        """Mean minus published error, points."""
        return None if self.published is None else self.mean - self.published


def finished_runs(client: "MlflowClient", experiment: str, metric: str) -> list[FinishedRun]:
    """Reads the finished runs of an experiment.

    Args:
        client: Connection to the server.
        experiment: Name of the experiment.
        metric: Metric in percent, larger is better, such as val/top1.

    Raises:
        ConfigurationError: There is no such experiment, or no finished run with the metric.
        TrackingUnavailableError: MLflow cannot be used now.
    """
    with unavailable_on_failure():
        found = client.get_experiment_by_name(experiment)
        names = [one.name for one in client.search_experiments()] if found is None else []
        recorded = [] if found is None else list(_pages(client, found.experiment_id))
    if found is None:
        there = ", ".join(sorted(names)) or "none"
        raise ConfigurationError(f"--experiment: no experiment {experiment!r}; there are: {there}")
    runs = [
        FinishedRun(run.data.params, run.data.metrics[metric], _expected(run.data.tags))
        for run in recorded
        if metric in run.data.metrics
    ]
    if not runs:
        raise ConfigurationError(
            f"--experiment: {experiment!r} has no finished run with the metric {metric}"
        )
    return runs


def methods(runs: Iterable[FinishedRun]) -> list[Method]:
    """Groups runs that differ only in their seed; the method with the least error comes first."""
    groups: dict[frozenset[tuple[str, str]], list[FinishedRun]] = {}
    for run in runs:
        key = frozenset(item for item in run.params.items() if item[0] not in _REPEATED)
        groups.setdefault(key, []).append(run)
    found = [_method(dict(key), group) for key, group in groups.items()]
    return sorted(found, key=lambda method: method.mean)


def label(method: Method, among: Sequence[Method]) -> str:
    """Returns what tells a method from the others: `shakedrop P_L 0.5`, `none epochs 8`."""
    kin = [other for other in among if _family(other) == _family(method)]
    names = sorted(
        name
        for name in _differing(among)
        if name != "regularizer" and (name not in _STRENGTHS or name in _differing(kin))
    )
    values = (f"{name} {method.params[name]}" for name in names if name in method.params)
    return " ".join([method.params.get("regularizer", "–"), *values])


def shared(among: Sequence[Method]) -> str:
    """Returns what all methods share: `batch_size 128, data cifar10, model wrn28_10`."""
    differing = _differing(among)
    params = among[0].params.items()
    return ", ".join(f"{name} {value}" for name, value in sorted(params) if name not in differing)


def _differing(among: Sequence[Method]) -> set[str]:
    names = {name for method in among for name in method.params}
    return {name for name in names if len({method.params.get(name) for method in among}) > 1}


def _family(method: Method) -> tuple[str | None, str | None]:
    return method.params.get("model"), method.params.get("regularizer")


def _method(params: dict[str, str], runs: Sequence[FinishedRun]) -> Method:
    expected = [run.expected for run in runs if run.expected is not None]
    published = 100 - expected[0] if expected else None
    return Method(params, tuple(100 - run.value for run in runs), published)


def _expected(tags: Mapping[str, str]) -> float | None:
    return float(tags[EXPECTED_TAG]) if EXPECTED_TAG in tags else None


def _pages(client: "MlflowClient", experiment_id: str) -> Iterable["Run"]:
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], "attributes.status = 'FINISHED'", max_results=1000, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return
