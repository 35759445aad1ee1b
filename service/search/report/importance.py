"""Which searched values the metric depended on: Optuna's fANOVA."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.config.sweep import Value
from service.search.report.canvas import BLUE, INK, LIGHT_BLUE, heading, new_figure, tidy
from service.search.report.comparison import Comparison
from service.search.report.description import SweepDescription
from service.search.report.scales import Scale, scale_of
from service.search.report.wording import count, labels, length
from service.search.trials import Trial, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna.distributions import BaseDistribution

_FEWEST = 4  # comparable trials
_FEWEST_CONDITIONAL = 8
_ROUGH = 20  # trials below which the picture warns
_SEED = 0


@dataclass(frozen=True)
class Importance:
    """How much of the metric's variation one searched value explains."""

    path: str
    """The searched field."""
    share: float | None
    """Its share, 0 to 1, of what the values rated with it explain each alone; None if not rated."""
    trials: int
    """Trials that have the value."""
    reason: str = ""
    """Why it was not rated."""


def importances(
    sweep: SweepDescription, trials: Sequence[Trial], compared: Comparison
) -> list[Importance]:
    """Rates each searched value by fANOVA (Hutter, Hoos, Leyton-Brown 2014, section 4).

    Values that all trials have are rated together; one that only some have, among those and beside
    the values that all have.

    Returns:
        The ratings, greatest first: of the values that all trials have, of the others, then what
        is not rated; none at all with fewer than four trials, or if nothing varies.
    """
    shown = [t for t in ranked(trials, sweep.mode) if t.number in compared.values]
    scales = {path: scale_of(path, d, shown) for path, d in sweep.space.items()}
    values = [compared.values[trial.number] for trial in shown]
    rows = [coordinates(trial, scales) for trial in shown]
    common = [path for path in scales if all(path in row for row in rows)]
    shares = _shares(scales, common, rows, values) if len(shown) >= _FEWEST else None
    if shares is None:
        return []
    found = [Importance(path, shares[path], len(shown)) for path in common]
    for path in scales:
        if path not in common:
            having = [(row, v) for row, v in zip(rows, values, strict=True) if path in row]
            found.append(_conditional(path, scales, common, having))
    return sorted(found, key=lambda i: (i.share is None, i.trials < len(shown), -(i.share or 0)))


def coordinates(trial: Trial, scales: Mapping[str, Scale]) -> dict[str, float]:
    """Returns where a trial stands on the scale of each field that it has."""
    places = {
        path: s.coordinate(trial.point[path]) for path, s in scales.items() if path in trial.point
    }
    return {path: place for path, place in places.items() if place is not None}


def table_of(sweep: SweepDescription, found: Sequence[Importance]) -> list[Sequence[Value]]:
    """Returns the ratings as lines of a table, its header first."""
    lines = [
        (sweep.name(i.path), i.path, "" if i.share is None else i.share, i.trials, i.reason)
        for i in found
    ]
    return [("value", "field", "share", "trials", "reason"), *lines]


def _conditional(
    path: str,
    scales: Mapping[str, Scale],
    common: Sequence[str],
    having: Sequence[tuple[dict[str, float], float]],
) -> Importance:
    if len(having) < _FEWEST_CONDITIONAL:
        reason = f"not rated: only {count(len(having), 'trial')}, {_FEWEST_CONDITIONAL} needed"
        return Importance(path, None, len(having), reason)
    shares = _shares(scales, [*common, path], [row for row, _ in having], [v for _, v in having])
    if shares is None:
        return Importance(path, None, len(having), "not rated: nothing varies")
    return Importance(path, shares[path], len(having))


def _shares(
    scales: Mapping[str, Scale],
    paths: Sequence[str],
    rows: Sequence[Mapping[str, float]],
    values: Sequence[float],
) -> dict[str, float] | None:
    """Returns the share of each path; None unless both the paths and the metric vary."""
    from optuna import create_study, logging
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    points = [{path: row[path] for path in paths} for row in rows]
    if len(set(values)) < 2 or all(point == points[0] for point in points):
        return None
    distributions = {path: _distribution(scales[path]) for path in paths}
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)  # a study announces itself
    try:
        study = create_study()
    finally:
        logging.set_verbosity(verbosity)
    study.add_trials(
        [
            create_trial(params=point, distributions=distributions, value=value)
            for point, value in zip(points, values, strict=True)
        ]
    )
    forest = FanovaImportanceEvaluator(seed=_SEED)
    found = get_param_importances(study, evaluator=forest, params=list(paths))
    return {path: float(found[path]) for path in paths}


def _distribution(scale: Scale) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if scale.kind == "category":
        return CategoricalDistribution([float(place) for place in range(len(scale.categories))])
    return FloatDistribution(scale.low, scale.high)


def draw_importances(
    sweep: SweepDescription,
    trials: Sequence[Trial],
    compared: Comparison,
    found: Sequence[Importance],
) -> "Figure":
    """Draws a bar for each rating, paler for those among only some of the trials."""
    figure = new_figure(8, 1.9 + 0.4 * len(found))
    axes = figure.add_subplot()
    tidy(axes)
    axes.grid(visible=False)
    every = len(compared.values)
    shares = [entry.share or 0.0 for entry in found]
    colours = [BLUE if entry.trials == every else LIGHT_BLUE for entry in found]
    axes.barh(range(len(found)), shares, height=0.62, color=colours)
    for row, entry in enumerate(found):
        text = entry.reason if entry.share is None else f"{entry.share:.2f}"
        axes.text(shares[row] + 0.01, row, text, va="center", size=8.5, color=INK)
    names = labels([sweep.name(entry.path) for entry in found], 30)
    some = ["" if e.trials == every else f"\namong {count(e.trials, 'trial')}" for e in found]
    axes.set_yticks(range(len(found)), [n + s for n, s in zip(names, some, strict=True)])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.0)
    rough = f"; rough, with fewer than {_ROUGH} trials" if every < _ROUGH else ""
    label = f"fANOVA: share of the variance that single values explain{rough}"
    axes.set_xlabel(label, fontsize=9)
    when = "" if compared.epoch is None else f" after {length(compared.epoch)}"
    heading(figure, sweep, trials, f"what {sweep.metric}{when} depends on")
    return figure
