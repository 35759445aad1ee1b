"""The trials that Ray Tune is handed: unfinished ones first, then new ones, as there is room."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.tune.experiment import Experiment
from ray.tune.experiment import Trial as TuneTrial

from service.cluster.sweeps.proposing import Proposing
from service.cluster.sweeps.sweep import Sweep
from service.cluster.sweeps.trial_actor import KNOWN, point_of
from service.config.sweep_files import RECIPES, recipe_tree
from service.search.ledger import Ledger
from service.search.proposals import Proposals, build
from service.search.trials import Change, Point

MakeSweep = Callable[..., Sweep]
Train = Callable[..., None]


class Trains(tune.Trainable):
    """Stands for the actor, which is not started here."""


@pytest.fixture(autouse=True)
def _no_cluster() -> Iterator[None]:
    yield
    assert not ray.is_initialized()


@pytest.fixture
def proposals(make_sweep: MakeSweep) -> Proposals:
    """Four draws."""
    config = make_sweep().config
    return build(config.sweep, RECIPES["cifar"], recipe_tree(config))


@pytest.fixture
def proposing(ledger: Ledger, proposals: Proposals, tmp_path: Path) -> Callable[..., Proposing]:
    """Begins as a driver does: what is known is told, then Tune takes over."""

    def made(live: int, *, population: bool = False) -> Proposing:
        for trial in ledger.trials:
            proposals.tell(trial)
        made = Proposing(ledger, proposals, live, population=population)
        made.add_configurations([Experiment("tune", Trains, storage_path=str(tmp_path))])
        return made

    return made


def all_there_is(proposing: Proposing) -> list[TuneTrial]:
    return list(iter(proposing.next_trial, None))


def ids(trials: list[TuneTrial]) -> list[str]:
    return [trial.trial_id for trial in trials]


def points(ledger: Ledger) -> list[Point]:
    return [trial.point for trial in ledger.trials]


def test_new_trials_come_as_there_is_room(
    ledger: Ledger, proposing: Callable[..., Proposing]
) -> None:
    search = proposing(live=3)
    assert search.total_samples == 4
    assert ids(all_there_is(search)) == ["001", "002", "003"]
    assert len(ledger.trials) == 3
    assert not search.is_finished()
    search.on_trial_complete("002")
    assert ids(all_there_is(search)) == ["004"]
    assert search.is_finished()
    for number in ("001", "003", "004"):
        search.on_trial_complete(number, error=number == "003")
    assert all_there_is(search) == []
    assert len(ledger.trials) == 4


def test_a_trial_in_tune_is_that_of_the_ledger(
    ledger: Ledger, proposing: Callable[..., Proposing]
) -> None:
    search = proposing(live=2)
    for trial in all_there_is(search):
        known = ledger[int(trial.trial_id)]
        assert trial.config == {KNOWN: 0.0, **known.point}
        assert point_of(trial.config) == known.point
        assert set(known.point) == {"model.regularizer.p_l", "optimizer.lr"}
        assert trial.experiment_tag == trial.trial_id
        assert known.changes == ()


def test_unfinished_trials_go_on_first_under_their_numbers(
    ledger: Ledger, proposals: Proposals, proposing: Callable[..., Proposing], train: Train
) -> None:
    for _ in range(3):
        ledger.propose(proposals.ask() or {})
    before = points(ledger)
    train(1, 50.0, 51.0)
    train(2, 60.0)
    ledger.end(2, "stopped", "by asha", {})
    search = proposing(live=10)
    trials = all_there_is(search)
    assert ids(trials) == ["001", "003", "004"]
    assert [trial.config[KNOWN] for trial in trials] == [2.0, 0.0, 0.0]
    assert points(ledger)[:3] == before
    assert point_of(trials[0].config) == before[0]
    assert ledger[4].point not in before
    assert search.is_finished()


def test_unfinished_trials_wait_for_room_too(
    ledger: Ledger, proposals: Proposals, proposing: Callable[..., Proposing]
) -> None:
    for _ in range(4):
        ledger.propose(proposals.ask() or {})
    search = proposing(live=1)
    seen: list[str] = []
    while not search.is_finished():
        new = ids(all_there_is(search))
        assert len(new) <= 1
        seen += new
        search.on_trial_complete("any")
    assert seen == ["001", "002", "003", "004"]
    assert len(ledger.trials) == 4


def test_a_sweep_that_is_through_hands_out_nothing(
    ledger: Ledger, proposals: Proposals, proposing: Callable[..., Proposing]
) -> None:
    for number in range(1, 5):
        ledger.propose(proposals.ask() or {})
        ledger.end(number, "finished", None, {})
    search = proposing(live=2)
    assert search.next_trial() is None
    assert search.is_finished()
    assert len(ledger.trials) == 4


def test_tune_may_end_it_early(ledger: Ledger, proposing: Callable[..., Proposing]) -> None:
    """When the budget is spent."""
    search = proposing(live=1)
    all_there_is(search)
    search.set_finished()
    search.on_trial_complete("001")
    assert search.next_trial() is None
    assert search.is_finished()
    assert len(ledger.trials) == 1


def test_tune_may_end_it_while_unfinished_trials_wait(
    ledger: Ledger, proposals: Proposals, proposing: Callable[..., Proposing]
) -> None:
    """Tune tells nobody about the trials that it ends then: no room becomes free."""
    for _ in range(3):
        ledger.propose(proposals.ask() or {})
    search = proposing(live=1)
    assert ids(all_there_is(search)) == ["001"]
    search.set_finished()
    assert search.is_finished()
    assert search.next_trial() is None
    assert [trial.status for trial in ledger.trials] == ["running"] * 3


def test_the_beginning_of_a_population_is_written_down(
    ledger: Ledger, proposing: Callable[..., Proposing]
) -> None:
    assert len(all_there_is(proposing(live=4, population=True))) == 4
    for trial in ledger.trials:
        assert trial.changes == (Change(0.0, trial.number, trial.point),)


def test_what_changed_in_training_is_what_a_trial_goes_on_with(
    ledger: Ledger, proposals: Proposals, proposing: Callable[..., Proposing], train: Train
) -> None:
    for _ in range(2):
        ledger.propose(proposals.ask() or {})
    train(1, 50.0)
    changed: Point = {**ledger[1].point, "optimizer.lr": 0.05}
    ledger.change(1, Change(1.0, 2, changed))
    search = proposing(live=4, population=True)
    first = search.next_trial()
    assert first is not None
    assert first.config == {KNOWN: 1.0, **changed}
    # It has begun before.
    assert len(ledger[1].changes) == 1


@pytest.mark.parametrize("count", [0, 2])
def test_a_sweep_is_one_experiment(
    ledger: Ledger, proposals: Proposals, tmp_path: Path, count: int
) -> None:
    experiments: list[Any] = [
        Experiment(f"tune{number}", Trains, storage_path=str(tmp_path)) for number in range(count)
    ]
    with pytest.raises(ValueError, match="one experiment"):
        Proposing(ledger, proposals, 1, population=False).add_configurations(experiments)
