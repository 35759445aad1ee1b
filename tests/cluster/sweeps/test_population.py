"""Population based training: who waits for whom, who is replaced, and what the runs are told.

The scheduler is driven as Tune drives it, without a cluster; folders and files are real.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import TrialScheduler

from service.cluster.resources import Plan, TrialPlan
from service.cluster.runs import CONFIG
from service.cluster.sweeps.population import Population
from service.cluster.sweeps.sweep import Sweep
from service.cluster.sweeps.trial_actor import EPOCH, KNOWN, METRIC, STEP
from service.cluster.turns import read_turn, written_turns
from service.config.cifar import CIFARConfig
from service.config.loading import load
from service.config.sweep import PopulationConfig
from service.search.ledger import Ledger
from service.search.trials import Change, Point, Result
from service.training.checkpoint import CheckpointContent, read_checkpoint, write_checkpoint
from service.training.retention import checkpoint_folder
from service.training.turn import Continuation

MakeSweep = Callable[..., Sweep]
P_L, LR = "model.regularizer.p_l", "optimizer.lr"
STEPS = 4  # of an epoch


class Live:
    """A trial as Tune has it."""

    def __init__(self, number: int, config: dict[str, Any]) -> None:
        self.trial_id = f"{number:03d}"
        self.status = TuneTrial.RUNNING
        self.config = config

    def set_config(self, config: dict[str, Any]) -> None:
        self.config = config


class Controller:
    """Tune, as far as the scheduler looks at it, with trials that report."""

    def __init__(self, sweep: Sweep, ledger: Ledger, size: int, **settings: Any) -> None:  # noqa: ANN401  # as YAML
        self.sweep, self.ledger = sweep, ledger
        while len(ledger.trials) < size:
            number = len(ledger.trials) + 1
            ledger.propose({P_L: number / 10, LR: 0.1})
        config = PopulationConfig(**settings)
        self.population = Population(sweep, ledger, size, config, lambda point: point)
        self.trials = {
            t.number: Live(t.number, {KNOWN: t.epochs, **t.point})
            for t in ledger.trials
            if t.status == "running"
        }

    def get_trials(self) -> list[Live]:
        return list(self.trials.values())

    def report(self, number: int, epoch: float, value: float) -> str:
        """Saves a checkpoint and reports, as a run that is evaluated; returns the decision."""
        step = round(epoch * STEPS)
        state = {"position": step}
        content = CheckpointContent(
            {"weight": torch.tensor([value])}, None, state, "", {}, {"life": 0}
        )
        folder = checkpoint_folder(self.sweep.trial_folder(number), step)
        if not folder.exists():
            write_checkpoint(folder, content)
        trial: Any = self.trials[number]
        result = {EPOCH: epoch, STEP: step, METRIC: value}
        decision = self.population.on_trial_result(self, trial, result)
        if epoch > self.ledger[number].epochs:
            self.ledger.add_result(number, Result(epoch, value, 0.0, 0.0))
        if decision == TrialScheduler.PAUSE:
            trial.status = TuneTrial.PAUSED
        return decision

    def turns(self, number: int) -> list[tuple[int, Any]]:
        """Returns all that a run was told, the steps and the answers."""
        folder = self.sweep.trial_folder(number)
        return [read_turn(folder, turn, CIFARConfig) for turn in range(written_turns(folder))]

    def kinds(self, number: int) -> list[tuple[int, str]]:
        """Returns all that a run was told, continuations as such."""
        return [
            (step, "continue" if isinstance(turn, Continuation) else turn)
            for step, turn in self.turns(number)
        ]


@pytest.fixture
def control(make_sweep: MakeSweep, ledger: Ledger) -> Callable[..., Controller]:
    def made(size: int = 4, concurrent: int = 4, **settings: Any) -> Controller:  # noqa: ANN401  # as YAML
        plan = TrialPlan(Plan(1, 1, 0, 1), concurrent)
        sweep = replace(make_sweep("sweep.scheduler={kind: pbt}"), plan=plan)
        return Controller(sweep, ledger, size, **settings)

    return made


Control = Callable[..., Controller]


def test_all_wait_for_the_last_and_the_worst_is_replaced(control: Control) -> None:
    tune = control(resample=0.0, factors=(2.0, 2.0))
    for number, value in ((2, 80.0), (4, 50.0), (1, 60.0)):
        assert tune.report(number, 1.0, value) == TrialScheduler.CONTINUE
        assert tune.population.meet() == {}
        assert tune.kinds(number) == []
    tune.report(3, 1.0, 70.0)
    assert tune.population.meet() == {4: 2}
    for number in (1, 2, 3):
        assert tune.kinds(number) == [(4, "go_on")]
        assert tune.ledger[number].changes == ()
        assert tune.trials[number].config == {KNOWN: 1.0, P_L: number / 10, LR: 0.1}
    point: Point = {P_L: 0.4, LR: 0.2}
    assert tune.ledger[4].changes == (Change(1.0, 2, point),)
    assert tune.trials[4].config == {KNOWN: 1.0, **point}
    # Nobody is told twice.
    assert tune.population.meet() == {}
    assert tune.kinds(1) == [(4, "go_on")]


def test_the_replaced_run_is_told_weights_and_values(control: Control) -> None:
    tune = control(resample=0.0, factors=(2.0, 2.0))
    for number, value in ((1, 60.0), (2, 80.0), (3, 70.0), (4, 50.0)):
        tune.report(number, 1.0, value)
    tune.population.meet()
    ((step, turn),) = tune.turns(4)
    assert step == 4
    assert isinstance(turn, Continuation)
    assert isinstance(turn.config, CIFARConfig)
    folder = tune.sweep.trial_folder(4)
    assert turn.checkpoint == checkpoint_folder(folder / "adopted", 4)
    assert float(read_checkpoint(turn.checkpoint).model["weight"]) == 80.0
    assert turn.config.optimizer.lr == 0.2
    assert turn.config.name == "a-sweep/trial_004"
    assert load(CIFARConfig, [folder / CONFIG]) == turn.config


def test_between_the_meetings_nobody_waits(control: Control) -> None:
    tune = control(size=2, concurrent=2, every=2.0)
    assert tune.report(1, 0.5, 60.0) == TrialScheduler.CONTINUE
    tune.report(1, 1.5, 60.0)
    assert tune.kinds(1) == [(2, "go_on"), (6, "go_on")]
    # The first evaluation at or past the second epoch, where steps do not divide it.
    tune.report(1, 2.25, 61.0)
    assert tune.population.meet() == {}
    tune.report(2, 2.25, 70.0)
    assert set(tune.population.meet()) == {1}
    tune.report(2, 3.75, 70.0)
    assert tune.kinds(2)[-1] == (15, "go_on")
    tune.report(2, 4.0, 70.0)
    assert tune.kinds(2)[-1] == (15, "go_on")


def test_the_same_meeting_takes_the_same_decisions(
    control: Control, make_sweep: MakeSweep, ledger: Ledger
) -> None:
    """Whatever the order of the reports; another epoch, or another seed, takes others."""
    values = {1: 60.0, 2: 80.0, 3: 70.0, 4: 50.0, 5: 55.0, 6: 75.0}
    outcomes = []
    orders = ((1, 2, 3, 4, 5, 6), (6, 4, 2, 1, 3, 5))
    for index, order in enumerate((*orders, orders[0])):
        plan = TrialPlan(Plan(1, 1, 0, 1), 6)
        storage = ledger_folder = make_sweep().storage / str(index)
        ledger_folder.mkdir()
        sweep = replace(make_sweep("sweep.scheduler={kind: pbt}"), plan=plan, storage=storage)
        seed = 1 if index == len(orders) else 0
        tune = Controller(sweep, Ledger(ledger_folder / "trials.jsonl"), 6, quantile=0.5, seed=seed)
        for number in order:
            tune.report(number, 1.0, values[number])
        sources = tune.population.meet()
        assert set(sources) == {1, 4, 5}
        assert set(sources.values()) <= {2, 3, 6}
        outcomes.append([tune.ledger[number].point for number in (1, 4, 5)])
    assert outcomes[0] == outcomes[1] != outcomes[2]


def test_a_large_population_takes_turns(control: Control) -> None:
    tune = control(size=4, concurrent=2, resample=0.0)
    for number in (3, 4):
        tune.trials[number].status = TuneTrial.PENDING
    assert tune.population.choose_trial_to_run(tune) is tune.trials[3]
    for number, value in ((1, 60.0), (2, 50.0)):
        assert tune.report(number, 1.0, value) == TrialScheduler.PAUSE
        assert tune.kinds(number) == [(4, "stop")]
        assert tune.population.meet() == {}
    # Who reached the epoch waits for the others, who have room now.
    assert tune.population.choose_trial_to_run(tune) is tune.trials[3]
    for number in (3, 4):
        tune.trials[number].status = TuneTrial.RUNNING
        tune.report(number, 1.0, 70.0 + number)
    assert tune.population.choose_trial_to_run(tune) is None
    assert tune.population.meet() == {2: 4}
    # The run that ended goes on later: only one that is replaced has to be told how.
    assert tune.kinds(1) == [(4, "stop")]
    assert tune.kinds(2) == [(4, "stop"), (4, "continue")]
    assert tune.population.choose_trial_to_run(tune) is tune.trials[1]


def test_the_others_do_not_wait_for_one_that_ended(control: Control) -> None:
    tune = control(size=3, concurrent=3)
    for number, value in ((1, 60.0), (2, 80.0)):
        tune.report(number, 1.0, value)
    assert tune.population.meet() == {}
    tune.ledger.end(3, "failed", "lost", {})
    gone: Any = tune.trials[3]
    tune.population.on_trial_complete(tune, gone, {})
    assert tune.population.meet() == {1: 2}
    assert tune.kinds(3) == []


@pytest.mark.parametrize("ending", ["on_trial_error", "on_trial_remove"])
def test_one_that_ends_while_it_waits_is_released(control: Control, ending: str) -> None:
    tune = control(size=3, concurrent=3)
    tune.report(1, 1.0, 60.0)
    getattr(tune.population, ending)(tune, tune.trials[1])
    assert tune.kinds(1) == [(4, "stop")]
    tune.ledger.end(1, "failed", "lost", {})
    for number, value in ((2, 80.0), (3, 70.0)):
        tune.report(number, 1.0, value)
    assert tune.population.meet() == {3: 2}


def test_a_lone_trial_goes_on(control: Control) -> None:
    tune = control(size=1, concurrent=1)
    tune.report(1, 1.0, 60.0)
    assert tune.population.meet() == {}
    assert tune.kinds(1) == [(4, "go_on")]


def test_a_result_that_comes_again_is_no_meeting(control: Control) -> None:
    tune = control(size=2, concurrent=2)
    for number, value in ((1, 60.0), (2, 80.0)):
        tune.report(number, 1.0, value)
    tune.population.meet()
    assert tune.report(2, 1.0, 80.0) == TrialScheduler.CONTINUE
    assert tune.population.meet() == {}
    assert tune.kinds(2) == [(4, "go_on")]


def test_nobody_is_replaced_before_all_were_proposed(control: Control, ledger: Ledger) -> None:
    for number in (1, 2):
        ledger.propose({P_L: number / 10, LR: 0.1})
    tune = control(size=2, concurrent=4)
    tune.population = Population(tune.sweep, ledger, 3, PopulationConfig(), lambda point: point)
    for number, value in ((1, 60.0), (2, 80.0)):
        tune.report(number, 1.0, value)
    assert tune.population.meet() == {}


def test_after_an_interruption_who_is_ahead_waits(control: Control, ledger: Ledger) -> None:
    """Trial 1 had reached epoch 2 when the driver was stopped, the others epoch 1."""
    for number in (1, 2, 3):
        ledger.propose({P_L: number / 10, LR: 0.1})
        ledger.add_result(number, Result(1.0, 50.0, 0.0, 0.0))
    ledger.add_result(1, Result(2.0, 55.0, 0.0, 0.0))
    tune = control(size=3, concurrent=3)
    tune.report(1, 3.0, 90.0)
    for number, value in ((2, 60.0), (3, 70.0)):
        assert tune.population.meet() == {}
        tune.report(number, 2.0, value)
    # Those of the same epoch are compared; who is ahead is no source.
    assert tune.population.meet() == {2: 3}
    assert tune.kinds(1) == []
    for number, value in ((2, 71.0), (3, 72.0)):
        tune.report(number, 3.0, value)
    assert tune.population.meet() == {2: 1}
    assert tune.kinds(1) == [(12, "go_on")]
