"""What is known of trials, and their order."""

from collections.abc import Callable
from random import Random

import pytest

from service.search.trials import Mode, Result, Status, Trial, ranked


def trial(number: int, values: list[float], status: Status = "finished") -> Trial:
    results = tuple(
        Result(epoch, value, at=10.0 * epoch, seconds=5.0 * epoch)
        for epoch, value in enumerate(values, 1)
    )
    return Trial(number, {"optimizer.lr": 0.1}, status, results)


def numbers(trials: list[Trial]) -> list[int]:
    return [trial.number for trial in trials]


def test_a_trial_without_results_has_trained_nothing() -> None:
    new = Trial(1, {})
    assert (new.status, new.epochs, new.seconds) == ("running", 0, 0)
    assert new.best("max") is None
    assert new.best("min") is None


def test_lengths_are_those_of_the_last_result_and_the_best_is_any() -> None:
    found = trial(1, [60.0, 70.0, 65.0])
    assert (found.epochs, found.seconds) == (3, 15)
    assert found.best("max") == 70.0
    assert found.best("min") == 60.0


@pytest.mark.parametrize(("mode", "order"), [("max", [2, 3, 1]), ("min", [1, 2, 3])])
def test_the_best_value_of_a_trial_decides(mode: Mode, order: list[int]) -> None:
    """The last values would order them otherwise."""
    trials = [trial(1, [50.0, 52.0]), trial(2, [80.0, 51.0]), trial(3, [60.0, 61.0])]
    assert numbers(ranked(trials, mode)) == order


@pytest.mark.parametrize("mode", ["max", "min"])
def test_of_equals_the_earlier_comes_first(seeded: Callable[[int], Random], mode: Mode) -> None:
    trials = [trial(number, [75.0]) for number in range(1, 8)]
    seeded(0).shuffle(trials)
    assert numbers(ranked(trials, mode)) == [1, 2, 3, 4, 5, 6, 7]


def test_only_failed_trials_and_those_without_a_value_are_left_out() -> None:
    trials = [
        trial(1, [99.0], "failed"),
        trial(2, [], "running"),
        trial(3, [70.0], "running"),
        trial(4, [80.0], "stopped"),
        trial(5, [0.0], "finished"),
        trial(6, [], "stopped"),
    ]
    assert numbers(ranked(trials, "max")) == [4, 3, 5]
    assert ranked([], "max") == []


def test_negative_values_and_zero_are_values() -> None:
    trials = [trial(1, [-2.0]), trial(2, [0.0]), trial(3, [-1.0])]
    assert numbers(ranked(trials, "max")) == [2, 3, 1]
    assert numbers(ranked(trials, "min")) == [1, 3, 2]
