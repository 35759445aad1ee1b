"""The part of a sweep that Ray Tune does."""

import logging
import shutil
from collections.abc import Callable
from math import floor

from ray import tune

from service.cluster.console import announce
from service.cluster.session import HEAD
from service.cluster.sweeps import folders
from service.cluster.sweeps.budget import Budget
from service.cluster.sweeps.ending import Ending
from service.cluster.sweeps.following import Following
from service.cluster.sweeps.live_table import LiveTable
from service.cluster.sweeps.population import Population
from service.cluster.sweeps.proposing import Proposing
from service.cluster.sweeps.scheduling import build_scheduler
from service.cluster.sweeps.sweep import Sweep
from service.cluster.sweeps.trial_actor import METRIC, TrialActor
from service.config.sweep import PopulationConfig
from service.config.sweep_files import RECIPES, recipe_tree
from service.search.ledger import Ledger
from service.search.proposals import Proposals
from service.search.repair import Repair
from service.storage.working_copy import told

_MOST_AT_ONCE = 25


def head_share(concurrent: int) -> float:
    """Returns a trial's share of the head node, such that no more trials fit at once.

    What stays free is for Ray Train, which takes a thousandth for each run: without it no run
    begins. Beyond 25 trials there is not enough of it for an exact bound.
    """
    if concurrent > _MOST_AT_ONCE:
        return floor(9_000 / concurrent) / 10_000
    return (floor(10_000 / (concurrent + 1)) + 1) / 10_000


class Tuning:
    """Runs the trials that are still to run.

    Args:
        sweep: The sweep.
        ledger: Its trials so far.
        proposals: Where new ones come from.
    """

    def __init__(self, sweep: Sweep, ledger: Ledger, proposals: Proposals) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._proposals = proposals
        self._budget = Budget(sweep.search.budget, ledger)
        self._ending = Ending(sweep)
        self.gaps: list[float] = []
        """Seconds from free room to a trial's first step, for each trial that began."""

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._budget.asked_to_stop

    def stop(self) -> None:
        """Asks it to save and end."""
        self._budget.asked_to_stop = True

    def close_ahead(self) -> None:
        """Closes the trials' runs in MLflow before these have ended; see `Ending.close_ahead`."""
        self._ending.close_ahead(self._ledger)

    def run(self, log: Callable[[], None]) -> None:
        """Runs until every trial has ended, the budget is spent, or it is asked to stop.

        Args:
            log: Called after each result.
        """
        ledger, total = self._ledger, self._proposals.total
        table = LiveTable(self._sweep, ledger, lambda: self._budget.elapsed, total)
        ending = self._ending
        population = self._population()
        following = Following(
            self._sweep, ledger, self._proposals, self._budget, ending, table, log, population
        )
        try:
            following.take_up()
            if self._anything_left():
                self._tune(following, population)
        finally:
            ending.close()
            table.close()
        self.gaps = following.gaps

    def _anything_left(self) -> bool:
        known, total = self._ledger.trials, self._proposals.total
        left = total - sum(trial.status != "running" for trial in known)
        if left <= 0 or self._budget.stop_all():
            why = self._budget.spent or f"{len(known)} of {total} trials are known"
            announce(f"nothing left to run: {why}")
            return False
        plan = self._sweep.plan
        announce(
            f"{left} trials of {self._sweep.length.epochs:g} epochs, {plan.concurrent} at a time, "
            f"{plan.each.num_workers} worker(s) each, folder {told(self._sweep.folder)}"
        )
        return True

    def _population(self) -> Population | None:
        search = self._sweep.search
        if not isinstance(search.scheduler, PopulationConfig):
            return None
        tree = recipe_tree(self._sweep.config)
        repair = Repair(search, RECIPES[search.pipeline], tree, search.scheduler.seed)
        total = self._proposals.total
        return Population(self._sweep, self._ledger, total, search.scheduler, repair)

    def _tune(self, following: Following, population: Population | None) -> None:
        """Runs Tune by its function: a `Tuner` would pickle what follows the sweep."""
        sweep, ledger = self._sweep, self._ledger
        # Its own records serve it for the life of this driver only: the ledger outlives it.
        shutil.rmtree(folders.tune_folder(sweep.folder), ignore_errors=True)
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        share = head_share(sweep.plan.concurrent)
        actor = tune.with_parameters(TrialActor, sweep=sweep)
        live = self._proposals.total if population else sweep.plan.concurrent
        proposing = Proposing(ledger, self._proposals, live, population=population is not None)
        tune.run(
            tune.with_resources(actor, tune.PlacementGroupFactory([{"CPU": 0, HEAD: share}])),
            name=folders.tune_folder(sweep.folder).name,
            storage_path=str(sweep.folder),
            metric=METRIC,
            mode=sweep.search.mode,
            search_alg=proposing,
            scheduler=population
            or build_scheduler(sweep.search.scheduler, sweep.length.epochs, ledger.trials),
            stop=self._budget,
            callbacks=[following],
            max_failures=1,
            raise_on_failed_trial=False,
            # The next trial finds torch imported.
            reuse_actors=True,
            verbose=0,
        )
