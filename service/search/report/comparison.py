"""Trials of different length, made comparable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.search.trials import Mode, Trial, ranked

_SAME = 0.01  # epochs; evaluations fall on whole steps, which batch sizes divide differently


@dataclass(frozen=True)
class Comparison:
    """One value for each trial, such that a difference is not one of length."""

    values: Mapping[int, float]
    """By the trial's number."""
    epoch: float | None
    """Epoch after which the values stood; None where all ran equally long and the best counts."""


def compare(trials: Sequence[Trial], mode: Mode) -> Comparison:
    """Returns what to compare: best values, or values at the common epoch if some stopped early.

    Failed trials and those without a value are left out.
    """
    shown = ranked(trials, mode)
    if all(trial.status == "finished" for trial in shown) or _equally_long(shown):
        return Comparison(
            {t.number: best for t in shown if (best := t.best(mode)) is not None}, None
        )
    epoch = common_epoch(shown)
    found = {t.number: value for t in shown if (value := value_at(t, epoch)) is not None}
    return Comparison(found, epoch)


def common_epoch(trials: Sequence[Trial]) -> float:
    """Returns the greatest epoch that all of these trials reached; each has a result."""
    return min(trial.epochs for trial in trials)


def value_at(trial: Trial, epoch: float) -> float | None:
    """Returns the value that a trial had at an epoch; None before its first evaluation."""
    found = [result.value for result in trial.results if result.epoch <= epoch + _SAME]
    return found[-1] if found else None


def _equally_long(trials: Sequence[Trial]) -> bool:
    lengths = [trial.epochs for trial in trials]
    return max(lengths) - min(lengths) <= _SAME
