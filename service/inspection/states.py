"""How a run stands, by what lies in its folder; nothing in it says so in one word."""

import math
import time
from dataclasses import dataclass
from typing import Literal

from service.cluster.driver_lock import living_driver, was_left
from service.cluster.runs import CONFIG
from service.config.durations import Duration
from service.config.errors import ConfigurationError
from service.config.showing import one_line
from service.inspection.checkpoints import kept_checkpoints
from service.inspection.essentials import Essentials, essentials
from service.inspection.folders import SWEEP_FILE, Place
from service.inspection.journals import Tail, read_tail
from service.inspection.ledgers import LEDGER, Mode, tally, told_of_trial
from service.tracking.journal import METRICS_JOURNAL
from service.training.best import best_name

State = Literal["running", "finished", "failed", "killed", "interrupted", "unknown"]
"""How a run stands.

- running: its driver lives.
- finished: it is at its full length.
- failed: its driver ended it before, after an error.
- killed: it was asked to stop, saved and ended; MLflow's KILLED.
- interrupted: its driver vanished; the workers' machine may have, too.
- unknown: it ended, and without checkpoints nothing tells whether at its full length.
"""

# What `service.cluster.job.stop_file` returns; its module imports much that a list does not need.
_STOP = "stop"


@dataclass(frozen=True)
class Standing:
    """How far a run came, and how it ended."""

    state: State
    """How it stands."""
    metric: str | None = None
    """The metric of its best checkpoints."""
    mode: Mode = "max"
    """Whether a larger or a smaller one is better."""
    length: Duration | None = None
    """Its full length."""
    epoch: float | None = None
    """Epochs done; for a sweep all trials' together."""
    step: int | None = None
    """Optimiser steps done."""
    best: float | None = None
    """Best value of the metric."""
    last: float | None = None
    """Its value at the last evaluation."""
    seen: float | None = None
    """Time of the last sign of it, seconds since 1970."""
    trials: int | None = None
    """Trials that were begun; None if it is no sweep."""
    problem: str | None = None
    """What is wrong with its folder, one line."""


def standing(place: Place) -> Standing:
    """Returns how a run, a trial or a sweep stands; `problem` tells what is wrong with it."""
    try:
        return _standing(place)
    except OSError as error:
        where = one_line(error.filename or place.folder)
        return Standing("unknown", problem=f"{where}: {error.strerror}")


def _standing(place: Place) -> Standing:
    seen = _seen(place)
    driven = living_driver(place.driven) is not None
    try:
        needed = essentials(place)
    except ConfigurationError as error:
        # One that is just being begun has no configuration yet.
        state: State = "running" if driven else "interrupted"
        state = state if was_left(place.driven) else "unknown"
        return Standing(state, seen=seen, problem=None if driven else str(error))
    if place.kind == "sweep":
        return _sweep(place, needed, seen, driven=driven)
    return _run(place, needed, seen, driven=driven)


def _run(place: Place, needed: Essentials, seen: float | None, *, driven: bool) -> Standing:
    kept = kept_checkpoints(place.folder)
    tail = read_tail(place.folder, needed.metric)
    last, best = _figures(tail, [one.metrics for one in kept], needed.metric)
    newest = kept[0] if kept else None
    steps = [one.step for one in kept[:1]] + ([] if tail.step is None else [tail.step])
    step = max(steps, default=None)
    epoch = newest.epoch if newest else _told_epoch(place)
    if newest and epoch and step and newest.step:
        # Steps since the newest checkpoint count as well.
        epoch = _bounded(epoch * step / newest.step, needed.length)
    complete = _complete(needed.length, newest.epoch if newest else None, step)
    state = _state(place, complete=complete, measured=last is not None and not kept, driven=driven)
    return Standing(state, needed.metric, needed.mode, needed.length, epoch, step, best, last, seen)


def _told_epoch(place: Place) -> float | None:
    """Returns the epochs of a trial that lost its checkpoints to better ones."""
    if place.kind != "trial":
        return None
    return told_of_trial(place.folder.parent, trial_number(place)).epoch


def _figures(
    tail: Tail, newest_first: list[dict[str, float]], metric: str
) -> tuple[float | None, float | None]:
    last, best = tail.last, tail.best
    for metrics in newest_first:
        last = metrics.get(metric) if last is None else last
        best = metrics.get(best_name(metric)) if best is None else best
    return last, best


def _bounded(epoch: float, length: Duration) -> float:
    return min(epoch, length.value) if length.unit == "ep" else epoch


def _complete(length: Duration, epoch: float | None, step: int | None) -> bool:
    if length.unit == "st":
        return step is not None and step >= math.ceil(length.value)
    return epoch is not None and epoch >= length.value - 1e-9


def _state(place: Place, *, complete: bool, measured: bool, driven: bool) -> State:
    """Returns how a run stands.

    Args:
        place: The run.
        complete: Whether it has a checkpoint of its last step.
        measured: Whether it was evaluated, and has no checkpoint all the same.
        driven: Whether its driver lives.
    """
    told = None
    if place.kind == "trial":
        told = told_of_trial(place.folder.parent, trial_number(place)).status
    if told is not None and told != "running":
        return told
    if driven:
        return "running"
    if complete:
        return "finished"
    if was_left(place.driven):
        return "interrupted"
    if (place.folder / _STOP).exists() or told == "running":
        return "killed"
    return "unknown" if measured else "failed"


def trial_number(place: Place) -> int:
    """Returns the number of a trial, by its folder's name."""
    return int(place.folder.name.rpartition("_")[2])


def _sweep(place: Place, needed: Essentials, seen: float | None, *, driven: bool) -> Standing:
    found = tally(place.folder, needed.mode)
    state: State = "finished"
    if driven:
        state = "running"
    elif was_left(place.folder):
        state = "interrupted"
    elif found.running or not found.trials:
        state = "killed"
    return Standing(
        state,
        needed.metric,
        needed.mode,
        epoch=found.epochs,
        best=found.best,
        last=found.last,
        seen=seen,
        trials=found.trials,
    )


def _seen(place: Place) -> float | None:
    """Returns when a run last wrote something."""
    times = []
    for name in (METRICS_JOURNAL, LEDGER, CONFIG, SWEEP_FILE):
        try:
            times.append((place.folder / name).stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def age(seen: float | None) -> float | None:
    """Returns the seconds since a run was last seen."""
    return None if seen is None else max(0.0, time.time() - seen)
