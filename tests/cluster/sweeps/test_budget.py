"""What ends a sweep before its trials are through."""

import time
from collections.abc import Callable

import pytest

from service.cluster.sweeps.budget import Budget
from service.config.sweep import BudgetConfig
from service.search.ledger import Ledger
from service.search.trials import Result

Train = Callable[..., None]


def test_without_a_bound_a_sweep_goes_on(ledger: Ledger, train: Train) -> None:
    ledger.propose({})
    train(1, *[50.0] * 100)
    budget = Budget(BudgetConfig(), ledger)
    assert budget.spent is None
    assert not budget.stop_all()


@pytest.mark.parametrize(("epochs", "expected"), [(5, False), (6, True)])
def test_epochs_of_all_trials_count(
    ledger: Ledger, train: Train, epochs: int, expected: bool
) -> None:
    """Those of failed trials too, and those that come after the budget was made."""
    for _ in range(3):
        ledger.propose({})
    budget = Budget(BudgetConfig(epochs=6), ledger)
    train(1, 50.0, 51.0)
    ledger.end(1, "failed", "lost", {})
    train(2, *[60.0] * (epochs - 3))
    assert not budget.stop_all()
    train(3, 70.0)
    assert budget.stop_all() == expected
    assert budget.spent == ("the sweep's budget of 6 epochs is spent" if expected else None)


@pytest.mark.parametrize(("at", "expected"), [(5_300.0, False), (5_400.0, True)])
def test_the_hours_of_earlier_drivers_count(ledger: Ledger, at: float, expected: bool) -> None:
    ledger.propose({})
    ledger.add_result(1, Result(1.0, 50.0, at, 1.0))
    budget = Budget(BudgetConfig(hours=1.5), ledger)
    assert budget.stop_all() == expected
    assert budget.spent == ("the sweep's budget of 1.5 hours is spent" if expected else None)


def test_the_clock_goes_on_from_the_last_result(ledger: Ledger) -> None:
    ledger.propose({})
    ledger.add_result(1, Result(1.0, 50.0, 1000.0, 1.0))
    before = time.monotonic()
    budget = Budget(BudgetConfig(), ledger)
    first = budget.elapsed
    time.sleep(0.05)
    second = budget.elapsed
    passed = time.monotonic() - before
    assert 1000 <= first <= first + 0.05 <= second <= 1000 + passed
    # Results of this driver do not set it back or forth.
    ledger.add_result(1, Result(2.0, 50.0, 5000.0, 1.0))
    assert budget.elapsed < 1000 + passed + 60


def test_who_is_asked_to_stop_stops(ledger: Ledger) -> None:
    budget = Budget(BudgetConfig(epochs=100), ledger)
    budget.asked_to_stop = True
    assert budget.stop_all()
    assert budget.spent is None


def test_no_trial_ends_for_itself(ledger: Ledger, train: Train) -> None:
    """Tune asks about each result: all trials end together, or none."""
    ledger.propose({})
    train(1, 50.0)
    budget = Budget(BudgetConfig(epochs=1), ledger)
    assert budget.stop_all()
    assert not budget("001", {"epoch": 1.0})
