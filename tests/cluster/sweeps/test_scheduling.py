"""Schedulers that remember: after an interruption they decide as if there had been none.

Tune's own classes are driven as its controller drives them, without a cluster.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from service.cluster.sweeps.scheduling import build_scheduler
from service.cluster.sweeps.trial_actor import EPOCH, METRIC
from service.config.sweep import (
    ASHAConfig,
    MedianStoppingConfig,
    NoSchedulerConfig,
    PopulationConfig,
    SchedulerConfig,
)
from service.search.trials import Mode, Result, Status, Trial

Seeded = Callable[[int], Random]


class Live:
    """A trial as a scheduler sees it; each driver makes its own."""

    def __init__(self, number: int) -> None:
        self.trial_id = f"{number:03d}"


@dataclass(frozen=True)
class Event:
    """A result that a trial reports."""

    number: int
    epoch: float
    value: float
    last: bool
    """Whether the trial ends with it by itself: at its full length, or failed."""


@dataclass
class Controller:
    """Shows a scheduler what Tune's controller shows it."""

    scheduler: TrialScheduler
    mode: str
    trials: dict[int, Live] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scheduler.set_search_properties(METRIC, self.mode)

    def add(self, number: int) -> None:
        self.trials[number] = Live(number)
        self.scheduler.on_trial_add(self, self.trials[number])

    def report(self, event: Event) -> str:
        """Returns the decision; a stopped trial is shown once more at its end."""
        trial = self.trials[event.number]
        result: dict[str, Any] = {EPOCH: event.epoch, METRIC: event.value}
        decision = TrialScheduler.STOP
        if not event.last:
            decision = self.scheduler.on_trial_result(self, trial, result)
        if decision == TrialScheduler.STOP:
            self.scheduler.on_trial_complete(self, trial, result)
        return str(decision)


@dataclass
class Simulated:
    """A sweep of trials with random curves that report in a random order."""

    random: Random
    epochs: float
    every: float
    failing: float
    concurrent: int
    trials: dict[int, Trial] = field(default_factory=dict)

    def running(self) -> list[int]:
        return [n for n, trial in self.trials.items() if trial.status == "running"]

    def begin(self) -> list[int]:
        """Returns the numbers of trials for which there is room."""
        new = range(len(self.trials) + 1, len(self.trials) + 1 + self.concurrent)
        started = list(new)[: self.concurrent - len(self.running())]
        self.trials |= {number: Trial(number, {}) for number in started}
        return started

    def next_event(self) -> Event:
        number = self.random.choice(self.running())
        before = self.trials[number].epochs
        if before and self.random.random() < self.failing:
            return Event(number, before, math.nan, last=True)
        epoch = min(before + self.every, self.epochs)
        value = 50 + 3 * (number % 7) + 4 * math.log1p(epoch) + self.random.gauss(0, 4)
        return Event(number, epoch, round(value, 1), last=epoch >= self.epochs)

    def note(self, event: Event, decision: str) -> None:
        """Writes down what the ledger of a sweep would know."""
        trial = self.trials[event.number]
        results, status = trial.results, trial.status
        if not math.isnan(event.value):
            results = (*results, Result(event.epoch, event.value, 0.0, 0.0))
        if decision == TrialScheduler.STOP:
            whole: Status = "failed" if math.isnan(event.value) else "finished"
            status = whole if event.last else "stopped"
        self.trials[event.number] = Trial(event.number, {}, status, results)


def drive(
    sweep: Simulated, drivers: Sequence[Controller], events: int
) -> Iterator[tuple[Event, list[str]]]:
    """Yields what happens and what each driver decides; the first one's decision holds."""
    for _ in range(events):
        for number in sweep.begin():
            for driver in drivers:
                driver.add(number)
        event = sweep.next_event()
        decisions = [driver.report(event) for driver in drivers]
        yield event, decisions
        sweep.note(event, decisions[0])


SCHEDULERS: dict[str, tuple[SchedulerConfig, float, float]] = {
    "asha": (ASHAConfig(grace=1, reduction=3), 9, 1),
    "asha, rungs between evaluations": (ASHAConfig(grace=1, reduction=2.5), 20, 2),
    "asha, evaluations past whole rungs": (ASHAConfig(grace=0.5, reduction=2), 12, 5),
    "asha, grace beyond the end": (ASHAConfig(grace=30), 9, 1),
    "median": (MedianStoppingConfig(grace=1, min_trials=3), 9, 1),
    "median, late": (MedianStoppingConfig(grace=4, min_trials=2), 8, 0.5),
    "none": (NoSchedulerConfig(), 9, 1),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("seed", range(6))
def test_an_interrupted_sweep_is_decided_as_one_that_was_not(
    seeded: Seeded, name: str, mode: Mode, seed: int
) -> None:
    config, epochs, every = SCHEDULERS[name]
    random = seeded(seed)
    sweep = Simulated(random, epochs, every, failing=0.03, concurrent=1 + seed)
    first = Controller(build_scheduler(config, epochs, []), mode)
    for _ in drive(sweep, [first], random.randint(1, 150)):
        pass
    past = list(sweep.trials.values())
    second = Controller(build_scheduler(config, epochs, past), mode)
    for number in sweep.running():
        second.add(number)
    made = 0
    for event, decisions in drive(sweep, [first, second], 200):
        assert decisions[0] == decisions[1], event
        made += decisions[0] == TrialScheduler.STOP and not event.last
    # The comparison means something only if trials are stopped.
    assert (made > 0) == (config.kind != "none" and name != "asha, grace beyond the end")


@pytest.mark.parametrize("name", ["asha", "median"])
@pytest.mark.parametrize("seed", range(4))
def test_trials_that_have_to_wait_count_already(seeded: Seeded, name: str, seed: int) -> None:
    """The next driver may have room for fewer: the others' results hold before they go on."""
    config, epochs, every = SCHEDULERS[name]
    sweep = Simulated(seeded(seed), epochs, every, failing=0, concurrent=6)
    first = Controller(build_scheduler(config, epochs, []), "max")
    for _ in drive(sweep, [first], 40):
        pass
    second = Controller(build_scheduler(config, epochs, list(sweep.trials.values())), "max")
    for number in sweep.running():
        second.add(number)
        while sweep.trials[number].status == "running":
            before = sweep.trials[number].epochs
            value = 50.0 + sweep.random.gauss(0, 10)
            event = Event(number, before + every, value, last=before + every >= epochs)
            decisions = [driver.report(event) for driver in (first, second)]
            assert decisions[0] == decisions[1], event
            sweep.note(event, decisions[0])


def test_a_resumed_sweep_may_be_interrupted_again(seeded: Seeded) -> None:
    config, epochs, every = SCHEDULERS["asha"]
    sweep = Simulated(seeded(11), epochs, every, failing=0.02, concurrent=4)
    whole = Controller(build_scheduler(config, epochs, []), "max")
    drivers = [whole]
    for _ in range(6):
        for event, decisions in drive(sweep, drivers, 25):
            assert len(set(decisions)) == 1, event
        again = Controller(build_scheduler(config, epochs, list(sweep.trials.values())), "max")
        for number in sweep.running():
            again.add(number)
        drivers = [whole, again]


def past(number: int, *values: float, status: Status = "finished") -> Trial:
    results = (Result(float(epoch), value, 0.0, 0.0) for epoch, value in enumerate(values, 1))
    return Trial(number, {}, status, tuple(results))


def test_a_rung_holds_what_was_recorded_there() -> None:
    """50, 68 and 70: the best third of them is above 68.67."""
    known = [past(1, 50.0, status="stopped"), past(2, 68.0, status="failed"), past(3, 70.0, 71.0)]
    for value, expected in ((68.5, TrialScheduler.STOP), (69.0, TrialScheduler.CONTINUE)):
        driver = Controller(build_scheduler(ASHAConfig(), 9, known), "max")
        driver.add(4)
        assert driver.report(Event(4, 1.0, value, last=False)) == expected
    driver = Controller(build_scheduler(ASHAConfig(), 9, []), "max")
    driver.add(4)
    assert driver.report(Event(4, 1.0, 1.0, last=False)) == TrialScheduler.CONTINUE


def test_a_trial_that_goes_on_was_judged_at_its_rungs() -> None:
    """It is the worst at the first rung, and passed that when it was alone."""
    known = [past(1, 10.0, status="running"), past(2, 60.0), past(3, 70.0)]
    driver = Controller(build_scheduler(ASHAConfig(), 9, known), "max")
    driver.add(1)
    assert driver.report(Event(1, 2.0, 11.0, last=False)) == TrialScheduler.CONTINUE
    assert driver.report(Event(1, 3.0, 12.0, last=False)) == TrialScheduler.CONTINUE


def test_a_trial_that_lies_below_the_median_by_now_can_go_on() -> None:
    """When it reported, the others had not: it is judged at its next result, not before."""
    known = [past(n, 50.0, 60.0, 70.0) for n in (1, 2, 3)]
    known.append(past(4, 10.0, 20.0, status="running"))
    driver = Controller(build_scheduler(MedianStoppingConfig(), 9, known), "max")
    driver.add(4)
    assert driver.report(Event(4, 3.0, 30.0, last=False)) == TrialScheduler.STOP
    driver = Controller(build_scheduler(MedianStoppingConfig(), 9, known), "max")
    driver.add(4)
    assert driver.report(Event(4, 3.0, 80.0, last=False)) == TrialScheduler.CONTINUE


@pytest.mark.parametrize("config", [NoSchedulerConfig(), PopulationConfig()])
def test_without_early_stopping_nobody_is_stopped(config: SchedulerConfig) -> None:
    assert type(build_scheduler(config, 9, [past(1, 50.0)])) is FIFOScheduler
