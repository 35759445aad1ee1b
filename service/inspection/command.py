"""`pipelines/runs.py`: what it can be asked, and who answers."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.config.arguments import Parser, parsed
from service.config.errors import ConfigurationError
from service.config.failures import refuse
from service.inspection.answers import clean, compare, list_runs, show, verify
from service.inspection.overview import SORTS
from service.inspection.stored import opened_storage
from service.storage.address import is_address

_PROGRAM = "python pipelines/runs.py"
_CLEAN = "clean"
_SUMMARY = "Lists, shows, compares, verifies and cleans up runs, by their folders."


@dataclass(frozen=True)
class Command:
    """One thing that can be asked."""

    summary: str
    """What it does, one sentence."""
    example: str
    """What follows the program's name in a command that works."""
    takes: Callable[[argparse.ArgumentParser], None]
    """Adds its options."""
    answer: Callable[[argparse.Namespace], int]
    """Prints the answer; returns the exit status."""


def inspect(arguments: Sequence[str]) -> int:
    """Does what a command line asks for.

    Returns:
        The exit status: 0 if all is well, 1 if something does not verify or could not be deleted,
        2 for input that cannot be used.
    """
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(_help())
            return 0
        command = COMMANDS.get(arguments[0])
        if command is None:
            raise ConfigurationError(
                f"{arguments[0]}: not one of {', '.join(COMMANDS)}; see --help"
            )
        made = Parser(command.summary, f"{_PROGRAM} {command.example}")
        made.prog = f"runs.py {arguments[0]}"
        made.add_argument("--storage", default="runs", help="folder of all runs, or s3://… (runs)")
        command.takes(made)
        options = parsed(made, arguments[1:])
        _check_storage(options.storage, arguments[0])
        options.storage = opened_storage(options.storage)
        status = command.answer(options)
        sys.stdout.flush()
    except ConfigurationError as error:
        return refuse(error)
    except BrokenPipeError:
        # Whoever reads the answer has seen enough; the rest must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return refuse(
            ConfigurationError(f"{error.filename or 'storage'}: {error.strerror or error}")
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return status


def _check_storage(storage: str, command: str) -> None:
    """Raises ConfigurationError for what cannot be done in an object store."""
    if is_address(storage) and command == _CLEAN:
        raise ConfigurationError(
            f"--storage: {storage} is an object store, and clean knows folders only; runs prune "
            "their checkpoints there themselves; delete whole runs with the store's own tools"
        )


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {one.summary}" for name, one in COMMANDS.items()]
    more = f"{_PROGRAM} COMMAND --help says more of each."
    return "\n".join([_SUMMARY, "", f"  {_PROGRAM} list", "", *lines, "", more])


def _takes_list(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--tracking",
        metavar="URI",
        help="also ask this MLflow (auto: MLFLOW_TRACKING_URI, or mlflow.db of the storage folder)",
    )
    made.add_argument("--trials", action="store_true", help="a line for each trial of a sweep, too")
    made.add_argument(
        "--sort", choices=SORTS, default="age", help="column (age: newest first; default)"
    )
    _takes_format(made)


def _takes_show(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", help="a run, or a trial: a-sweep/trial_001")
    made.add_argument("--all", action="store_true", help="the whole configuration")
    _takes_tracking(made, "the run's own")
    made.add_argument("--format", choices=("text", "json"), default="text", help="of the answer")


def _takes_compare(made: argparse.ArgumentParser) -> None:
    made.add_argument("names", nargs="+", metavar="NAME", help="runs and trials, two or more")
    _takes_format(made)


def _takes_verify(made: argparse.ArgumentParser) -> None:
    made.add_argument("names", nargs="+", metavar="NAME", help="runs and trials")
    made.add_argument(
        "--checkpoints", action="store_true", help="also every file of their checkpoints"
    )


def _takes_clean(made: argparse.ArgumentParser) -> None:
    made.add_argument("names", nargs="*", metavar="NAME", help="runs and sweeps; none: all")
    made.add_argument("--delete", action="store_true", help="do it; otherwise it is only shown")
    made.add_argument(
        "--ended-early",
        type=_days,
        metavar="DAYS",
        help="runs that failed, were killed or interrupted so long ago keep their best and their "
        "last checkpoint only",
    )
    made.add_argument(
        "--no-tracking",
        action="store_true",
        help="ask no MLflow; otherwise no checkpoint goes while one that runs used is away",
    )
    _takes_tracking(made, "the runs' own")


def _takes_tracking(made: argparse.ArgumentParser, default: str) -> None:
    made.add_argument("--tracking", metavar="URI", help=f"MLflow that is asked ({default})")


def _takes_format(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--format", choices=("table", "json", "csv"), default="table", help="of the answer"
    )


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not days >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days")
    return days


COMMANDS = {
    "list": Command(
        "Lists runs and sweeps: state, epochs, best and last figure, size, age.",
        "list --sort best",
        _takes_list,
        list_runs,
    ),
    "show": Command(
        "Shows what a run used and did: program, data, configuration, figures, checkpoints.",
        "show my-run",
        _takes_show,
        show,
    ),
    "compare": Command(
        "Sets runs side by side: what differs in their configurations, then their figures. "
        "(pipelines/compare.py compares methods instead: mean and deviation over seeds, of a whole "
        "MLflow experiment.)",
        "compare plain shakedrop",
        _takes_compare,
        compare,
    ),
    "verify": Command(
        "Verifies finished runs against the figures that their recipes expect; status 1 if one "
        "does not hold.",
        "verify my-run --checkpoints",
        _takes_verify,
        verify,
    ),
    _CLEAN: Command(
        "Shows what can go: checkpoints that runs have given up, and what interrupted writes left.",
        "clean --ended-early 30",
        _takes_clean,
        clean,
    ),
}
"""What can be asked, by name."""
