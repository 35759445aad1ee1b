"""The driver of a sweep: checks, starts, follows, ends."""

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from service.cluster.arrival import planned
from service.cluster.console import announce
from service.cluster.driver_lock import Claim, only_driver, was_only_taken
from service.cluster.job import Application
from service.cluster.precision import with_begun_precision, with_precision
from service.cluster.preparation import base_request, check_several_nodes
from service.cluster.resources import plan_trials
from service.cluster.run_copy import begin_copy, sweeps_mirror
from service.cluster.runs import check_name
from service.cluster.session import absolute_storage, join, leave, on_head, submission_id
from service.cluster.stopping import stoppable
from service.cluster.sweeps import folders
from service.cluster.sweeps.ending import remove_losers
from service.cluster.sweeps.summary import Summary
from service.cluster.sweeps.sweep import SWEEP_TAG, Sweep
from service.config.errors import ConfigurationError
from service.config.loading import to_yaml
from service.config.sweep import PopulationConfig
from service.config.sweep_files import RECIPES, SweepFile, recipe_tree
from service.search.ledger import Ledger
from service.search.proposals import Proposals, build
from service.storage.address import is_address
from service.storage.working_copy import store_answering, told
from service.tracking.delivery import kept_already
from service.training.stored_checkpoints import bring_small_files

if TYPE_CHECKING:
    from service.cluster.sweeps.tuning import Tuning

# Read by Tune when it is imported.
_TUNE_SETTINGS = {
    # Results go to our ledger and to MLflow, not into four files for each trial.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The driver asks trials to save and end; Tune's own handler would not wait for them.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Its new output has a banner that cannot be switched off.
    "RAY_AIR_NEW_OUTPUT": "0",
}


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended."""

    sweep: Sweep
    ledger: Ledger
    stopped: bool
    """Whether it was asked to stop before its end; it can be continued."""
    compare: str | None
    """Address of MLflow's page that compares the trials, if MLflow answers."""
    gaps: list[float]
    """Seconds from free room to a trial's first step, for each trial that began."""


def run_sweep(config: SweepFile, application: Application, *, resume: bool) -> Outcome:
    """Runs a sweep to its end.

    Args:
        config: The sweep file.
        application: What its pipeline trains.
        resume: Whether to go on with the sweep of this name, if there is one.

    Raises:
        ConfigurationError: Something cannot be used; nothing was started.
    """
    _check_storage(config)
    storage = absolute_storage(config.storage)
    config = _named(config, storage, resume)
    with only_driver(storage / str(config.name), "sweep", submission_id()) as claim:
        return _drive(config, storage, application, claim)


def _check_storage(config: SweepFile) -> None:
    """Raises ConfigurationError for a sweep whose trials read what others of them wrote."""
    if is_address(config.storage.path) and isinstance(config.sweep.scheduler, PopulationConfig):
        raise ConfigurationError(
            "sweep.scheduler.kind: trials of population based training take over each other's "
            f"checkpoints in a folder that all machines see, and {config.storage.path} is an "
            "object store; give storage.path such a folder, or take another scheduler"
        )


def _check_driver(config: SweepFile) -> None:
    """Raises ConfigurationError for a driver that does not share the trials' copies of the store.

    Ray runs the trials' drivers on the cluster's head.
    """
    if is_address(config.storage.path) and not on_head():
        raise ConfigurationError(
            "storage.path: a sweep in an object store is driven from the cluster's head; submit "
            "it there with `ray job submit`"
        )


def _drive(config: SweepFile, storage: Path, application: Application, claim: Claim) -> Outcome:
    folder = storage / str(config.name)
    with store_answering():
        begin_copy(folder)
    ledger_file = folders.ledger(storage, config)
    announce(f"sweep {config.name}: checking the space and the data")
    proposals = build(config.sweep, RECIPES[config.sweep.pipeline], recipe_tree(config))
    sweep = _prepare(config, storage, application, proposals.total, claim)
    try:
        folders.record(sweep.folder, sweep.config)
        with sweeps_mirror(folder, claim.check) or nullcontext() as mirror:
            keep = kept_already if mirror is None else mirror.push
            ledger = Ledger(ledger_file, keep)
            for trial in ledger.trials:
                proposals.tell(trial)
            return _run(sweep, ledger, proposals, keep)
    finally:
        leave()


def _named(config: SweepFile, storage: Path, resume: bool) -> SweepFile:
    name = config.name or folders.new_name(config.sweep.search.kind)
    check_name(name)
    config = config.model_copy(update={"name": name})
    begun = folders.exists(storage / name)
    config = with_begun_precision(config, storage / name / folders.CONFIG)
    if begun:
        if not resume:
            raise ConfigurationError(
                f"name: the sweep {name} exists in {told(storage)}; continue it with --resume, or "
                "choose another name"
            )
        folders.check_resumable(storage / name, config)
    elif (storage / name).exists() and not was_only_taken(storage / name):
        raise ConfigurationError(f"name: {storage / name} is no sweep; choose another name")
    return config


def _prepare(
    config: SweepFile, storage: Path, application: Application, trials: int, claim: Claim
) -> Sweep:
    """Checks what would fail in every trial, and shares the cluster out."""
    recipe = RECIPES[config.sweep.pipeline].model_validate(recipe_tree(config))
    measured = application.metrics(recipe)
    if config.sweep.metric not in measured:
        raise ConfigurationError(
            f"sweep.metric: {config.sweep.metric} is not measured; choose from "
            f"{', '.join(measured)}"
        )
    for name, value in _TUNE_SETTINGS.items():
        os.environ.setdefault(name, value)
    facts = application.check(recipe, storage)
    cluster = join(config.cluster, dashboard=True)
    concurrent = config.sweep.concurrent_trials
    try:
        _check_driver(config)
        plan = planned(
            config.cluster,
            cluster,
            lambda nodes: plan_trials(config.cluster, nodes, concurrent, trials),
            partial(check_several_nodes, config, storage),
        )
        on_gpu = bool(plan.each.gpus_per_worker)
        config = with_precision(config, nodes=plan.each.nodes, on_gpu=on_gpu)
        request = None
        if config.tracking.enabled:
            name = str(config.name)
            text = to_yaml(config)
            request = base_request(config, storage, name, text, plan.each.nodes)
            request = replace(request, tags={**request.tags, SWEEP_TAG: name})
    except ConfigurationError:
        leave()
        raise
    return Sweep(config, storage, application, facts, plan, request, claim)


def _run(sweep: Sweep, ledger: Ledger, proposals: Proposals, keep: Callable[[], None]) -> Outcome:
    from service.cluster.sweeps.leftovers import clear_leftovers
    from service.cluster.sweeps.tuning import Tuning

    tuning = Tuning(sweep, ledger, proposals)
    with Summary(sweep, ledger, keep) as summary:
        ask = partial(_ask_to_stop, tuning, summary)
        with stoppable(ask, saving="trials save a checkpoint"):
            tuning.run(summary.log)
        clear_leftovers()
        for trial in ledger.trials:
            bring_small_files(sweep.trial_folder(trial.number))
        remove_losers(sweep, ledger.trials)
        summary.finish(stopped=tuning.stopped)
    shutil.rmtree(folders.tune_folder(sweep.folder), ignore_errors=True)
    return Outcome(sweep, ledger, tuning.stopped, summary.compare_address(), tuning.gaps)


def _ask_to_stop(tuning: "Tuning", summary: Summary) -> None:
    """Lets the trials save and end, and closes all open runs in MLflow at once.

    `ray job stop` kills this process after three seconds, before the trials have ended.
    """
    tuning.stop()

    def close_ahead() -> None:
        summary.close_ahead()
        tuning.close_ahead()

    threading.Thread(target=close_ahead, name="stopping", daemon=True).start()
