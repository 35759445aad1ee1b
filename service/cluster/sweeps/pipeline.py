"""What `pipelines/sweep.py` does around a sweep: command line, help, errors, exit status."""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from service.cluster.applications import CLASSIFICATION, DETECTION
from service.cluster.console import announce
from service.cluster.job import Application
from service.cluster.session import absolute_storage
from service.cluster.starting_weights import with_weights
from service.cluster.sweeps import folders
from service.cluster.sweeps.launch import Outcome, run_sweep
from service.cluster.sweeps.winner import BEST
from service.config.command_line import Command, help_text, parse_command
from service.config.errors import ConfigurationError
from service.config.failures import refuse, report
from service.config.loading import to_yaml
from service.config.sweep_files import SweepFile, load_sweep
from service.search.trials import ranked
from service.tracking.links import ui_command

_SUMMARY = "Searches values of a recipe: each trial a run of its own, all of them in MLflow."
_EXAMPLE = "python pipelines/sweep.py --config configs/sweep/p_l.yaml data.root=/data"
_SWITCHES = {
    "help": "show this and leave",
    "print-config": "show the resolved sweep file, itself a valid --config file, and leave",
    "resume": "go on with the sweep called `name`, or with the newest; start it if it is not there",
}
_APPLICATIONS: dict[str, Application] = {
    "imagenet": CLASSIFICATION,
    "cifar": CLASSIFICATION,
    "coco": DETECTION,
}


def run_sweep_pipeline(default: Path, arguments: Sequence[str]) -> int:
    """Does what a command line asks for.

    Args:
        default: Sweep file that holds without `--config`.
        arguments: The command line without the program's name.

    Returns:
        The exit status: 0 if all went well, 1 for a sweep that failed or none of whose trials has
        a value, 2 for input that cannot be used, 143 for a sweep that was asked to stop.
    """
    try:
        command = parse_command(arguments, [name for name in _SWITCHES if name != "help"])
        if "help" in command.flags:
            print(help_text(_SUMMARY, _EXAMPLE, _SWITCHES, load_sweep([default], [])))
            return 0
        config = _configuration(default, command)
        if "print-config" in command.flags:
            print(to_yaml(config), end="")
            return 0
        return _sweep(config, resume="resume" in command.flags)
    except ConfigurationError as error:
        return refuse(error)


def _configuration(default: Path, command: Command) -> SweepFile:
    config = _loaded(command.files or (default,), command.overrides)
    if "resume" not in command.flags:
        return config
    storage = absolute_storage(config.storage)
    name = config.name or folders.newest(storage)
    if not folders.exists(storage / name):
        return config
    # What the sweep began with, under what is given now.
    return _loaded([storage / name / folders.CONFIG, *command.files], command.overrides)


def _loaded(files: Sequence[Path], overrides: Sequence[str]) -> SweepFile:
    return with_weights(lambda beneath, more: load_sweep(files, [*overrides, *more], beneath))


def _sweep(config: SweepFile, *, resume: bool) -> int:
    application = _APPLICATIONS[config.sweep.pipeline]
    try:
        outcome = run_sweep(config, application, resume=resume)
    except KeyboardInterrupt:
        announce("interrupted; --resume goes on")
        return 130
    except Exception as error:
        return report(error, "the sweep")
    return _print_outcome(outcome)


def _print_outcome(outcome: Outcome) -> int:
    sweep, ledger = outcome.sweep, outcome.ledger
    if outcome.gaps:
        announce(
            f"from free room to a trial's first step: median {statistics.median(outcome.gaps):.1f} "
            f"s, longest {max(outcome.gaps):.1f} s"
        )
    full = len(ledger.trials) * sweep.length.epochs
    print(f"{len(ledger.trials)} trials, {ledger.epochs:g} of {full:g} epochs trained")
    if sweep.request is not None:
        print(f"MLflow: {ui_command(sweep.request.uri)}")
    if outcome.compare is not None:
        print(f"compare the trials: {outcome.compare}")
    print(f"report: {sweep.folder / 'report'}")
    leaders = ranked(ledger.trials, sweep.search.mode)
    if outcome.stopped:
        print(f"stopped early; continue with --resume name={sweep.name}")
        return 143
    if not leaders:
        print("error: no trial has a value; see the trials' failure.txt", file=sys.stderr)
        return 1
    best = leaders[0]
    value = best.best(sweep.search.mode)
    named = "  ".join(f"{sweep.names[path]}={given}" for path, given in best.point.items())
    print(f"winner: trial {best.number:03d}  {sweep.search.metric} {value:.2f}  {named}")
    program = f"pipelines/{sweep.search.pipeline}.py"
    print(f"train it: python {program} --config {sweep.folder / BEST}")
    return 0
