"""What ends a sweep before its trials are through."""

import time
from typing import Any

from ray.tune.stopper import Stopper

from service.config.sweep import BudgetConfig
from service.search.ledger import Ledger


class Budget(Stopper):
    """Stops all trials when the budget is spent, or when the driver was asked to stop.

    Args:
        config: The budget.
        ledger: The trials, whose epochs count, and the time that earlier drivers took.
    """

    def __init__(self, config: BudgetConfig, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._start = time.monotonic() - ledger.elapsed
        self.asked_to_stop = False
        """Set by whoever wants the driver to end; its trials can be continued."""

    @property
    def elapsed(self) -> float:
        """Seconds that the sweep has run, pauses between drivers left out."""
        return time.monotonic() - self._start

    @property
    def spent(self) -> str | None:
        """Says which part of the budget is spent, if any is."""
        hours, epochs = self._config.hours, self._config.epochs
        if hours is not None and self.elapsed >= 3600 * hours:
            return f"the sweep's budget of {hours:g} hours is spent"
        if epochs is not None and self._ledger.epochs >= epochs:
            return f"the sweep's budget of {epochs:g} epochs is spent"
        return None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Ends no trial for itself."""
        return False

    def stop_all(self) -> bool:
        """Tells Tune whether all trials shall end."""
        return self.asked_to_stop or self.spent is not None
