"""The ledger when a whole sweep is ended: what Tune says then, and what is written down."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.tune.callback import CallbackList
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as TuneTrial

from service.cluster.sweeps.budget import Budget
from service.cluster.sweeps.ending import Ending
from service.cluster.sweeps.following import Following
from service.cluster.sweeps.live_table import LiveTable
from service.cluster.sweeps.proposing import Proposing
from service.cluster.sweeps.sweep import SWEEP_TAG, TRIAL_TAG, Sweep
from service.config.sweep import BudgetConfig
from service.config.sweep_files import RECIPES, recipe_tree
from service.search.ledger import Ledger
from service.search.proposals import build
from service.tracking.client import connect
from service.tracking.request import RunRequest, run_key
from service.tracking.sweep_runs import runs_with_tag
from service.tracking.tracker import start_run

MakeSweep = Callable[..., Sweep]
Train = Callable[..., None]


class Live:
    """A trial that runs, as Tune's controller has it, without an actor."""

    is_saving = False

    def __init__(self, number: int, last_result: dict[str, Any]) -> None:
        self.trial_id = f"{number:03d}"
        self.status = TuneTrial.RUNNING
        self.last_result = last_result
        self.temporary_state = self

    def set_location(self, location: object) -> None:
        """Needs none."""


class Controller(TuneController):
    """Tune's controller with trials under way, but without actors, files or a cluster."""

    def __init__(self, trials: list[Live], budget: Budget, search: Proposing) -> None:
        self._trials: Any = trials
        self._trial_to_actor = {}
        self._stopper = budget
        self._search_alg = search
        self._fail_fast = self._has_errored = self._should_stop_experiment = False
        self._callbacks: Any = CallbackList([])

    def _set_trial_status(self, trial: Any, status: str) -> None:  # noqa: ANN401  # Tune's
        trial.status = status

    def end(self, following: Following) -> None:
        """Does what Tune does once the stopper wants an end: ends all trials, then the rest."""
        self._callbacks = CallbackList([following])
        self._stop_experiment_if_needed()
        self.end_experiment_callbacks()


@pytest.fixture
def end(ledger: Ledger, train: Train) -> Callable[[Sweep, Budget], None]:
    """Ends a sweep with two trials under way, after one epoch and after none."""

    def ended(sweep: Sweep, budget: Budget) -> None:
        proposals = build(sweep.search, RECIPES["cifar"], recipe_tree(sweep.config))
        for _ in range(2):
            ledger.propose(proposals.ask() or {})
        train(1, 50.0)
        ending = Ending(sweep)
        table = LiveTable(sweep, ledger, lambda: budget.elapsed, 4)
        following = Following(sweep, ledger, proposals, budget, ending, table, lambda: None, None)
        trials = [Live(1, {"epoch": 1.0, "metric": 50.0}), Live(2, {})]
        search = Proposing(ledger, proposals, 2, population=False)
        Controller(trials, budget, search).end(following)
        assert [trial.status for trial in trials] == [TuneTrial.TERMINATED] * 2
        ending.close()

    return ended


def test_trials_that_ran_when_the_budget_was_spent_were_stopped_by_it(
    make_sweep: MakeSweep, ledger: Ledger, end: Callable[[Sweep, Budget], None]
) -> None:
    end(make_sweep(), Budget(BudgetConfig(epochs=1), ledger))
    assert [trial.status for trial in ledger.trials] == ["stopped"] * 2
    assert ledger[1].reason == (
        "stopped early at epoch 1 of 9: the sweep's budget of 1 epochs is spent"
    )


def test_the_runs_of_a_sweep_that_is_asked_to_stop_are_closed(
    make_sweep: MakeSweep, ledger: Ledger, tmp_path: Path, end: Callable[[Sweep, Budget], None]
) -> None:
    """They can be continued, so the ledger calls them running; MLflow must not."""
    request = RunRequest(
        uri=f"sqlite:///{tmp_path}/mlflow.db",
        experiment="sweeps",
        key=run_key(tmp_path, "a-sweep"),
        name="a-sweep",
        config_yaml="",
        artifact_location=(tmp_path / "files").as_uri(),
    )
    sweep = replace(make_sweep(), request=request)
    for number in (1, 2):
        point = {"model.regularizer.p_l": 0.5, "optimizer.lr": 0.1}
        job = sweep.job(number, point)
        job.folder.mkdir(parents=True)
        assert job.request is not None
        start_run(job.folder, job.request)
    budget = Budget(BudgetConfig(), ledger)
    budget.asked_to_stop = True
    end(sweep, budget)
    assert [trial.status for trial in ledger.trials] == ["running"] * 2
    client = connect(request.uri)
    found = runs_with_tag(request, SWEEP_TAG, "a-sweep", TRIAL_TAG)
    closed = [client.get_run(found[number]) for number in ("001", "002")]
    assert [run.info.status for run in closed] == ["KILLED"] * 2
    assert closed[0].data.tags["status_reason"] == (
        "the sweep was stopped at epoch 1; --resume goes on"
    )
