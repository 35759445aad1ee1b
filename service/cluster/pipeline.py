"""What every pipeline does around its training: command line, help, errors, exit status."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.cluster import runs
from service.cluster.console import announce
from service.cluster.job import Application
from service.cluster.launch import Outcome, train
from service.cluster.session import absolute_storage
from service.cluster.starting_weights import with_weights
from service.config.command_line import Command, help_text, parse_command
from service.config.errors import ConfigurationError
from service.config.failures import refuse, report
from service.config.loading import load, to_yaml
from service.config.run import RunConfig
from service.models.resolution import resolved_run
from service.storage.working_copy import told
from service.tracking.links import ui_command
from service.training.best import best_name

_SWITCHES = {
    "help": "show this and leave",
    "print-config": "show the resolved configuration, itself a valid --config file, and leave",
    "list-models": "show the networks with their sizes and regularisers, and leave",
    "list-regularizers": "show the regularisers with their strengths and networks, and leave",
    "resume": "go on with the run called `name`, or with the newest; start it if it is not there",
    "local": "train in this process, without Ray; the same as cluster.num_workers=0",
}


@dataclass(frozen=True)
class Pipeline:
    """A program that trains something."""

    summary: str
    """What it does, one sentence."""
    example: str
    """A command that works."""
    schema: type[RunConfig]
    """Class of its configuration."""
    default: Path
    """Configuration file that holds without `--config`."""
    application: Application
    """What is trained."""
    tables: Mapping[str, Callable[[], str]]
    """What `--list-models` and `--list-regularizers` show, by switch."""


def run_pipeline(pipeline: Pipeline, arguments: Sequence[str]) -> int:
    """Does what a command line asks for.

    Returns:
        The exit status: 0 if all went well, 1 for a run that failed, 2 for input that cannot be
        used, 143 for a run that was asked to stop.
    """
    try:
        command = parse_command(arguments, [name for name in _SWITCHES if name != "help"])
        if "help" in command.flags:
            default = load(pipeline.schema, [pipeline.default])
            print(help_text(pipeline.summary, pipeline.example, _SWITCHES, default))
            return 0
        for switch, table in pipeline.tables.items():
            if switch in command.flags:
                print(table())
                return 0
        config = _configuration(pipeline, command)
        if "print-config" in command.flags:
            print(to_yaml(resolved_run(config)), end="")
            return 0
        return _train(pipeline, config, resume="resume" in command.flags)
    except ConfigurationError as error:
        return refuse(error)


def _configuration(pipeline: Pipeline, command: Command) -> RunConfig:
    files = command.files or (pipeline.default,)
    overrides = list(command.overrides)
    if "local" in command.flags:
        overrides.append("cluster.num_workers=0")
    config = _loaded(pipeline, files, overrides)
    if "resume" not in command.flags:
        return config
    storage = absolute_storage(config.storage)
    name = config.name or runs.newest(storage)
    if not runs.exists(storage / name):
        return config
    # What the run began with, under what is given now.
    return _loaded(pipeline, [storage / name / runs.CONFIG, *command.files], overrides)


def _loaded(pipeline: Pipeline, files: Sequence[Path], overrides: Sequence[str]) -> RunConfig:
    return with_weights(
        lambda beneath, more: load(pipeline.schema, files, [*overrides, *more], beneath)
    )


def _train(pipeline: Pipeline, config: RunConfig, *, resume: bool) -> int:
    try:
        outcome = train(config, pipeline.application, resume=resume)
    except KeyboardInterrupt:
        announce("interrupted")
        return 130
    except Exception as error:
        return report(error, "the run")
    _print_outcome(outcome)
    return 0 if outcome.status == "FINISHED" else 143


def _print_outcome(outcome: Outcome) -> None:
    job = outcome.job
    metric = job.config.checkpoint.metric
    if metric in outcome.metrics:
        name = metric.rpartition("/")[2]
        best = outcome.metrics[best_name(metric)]
        print(f"{name} {outcome.metrics[metric]:.2f} at the end, best {best:.2f}")
    if outcome.checkpoint is not None:
        print(f"best checkpoint: {told(outcome.checkpoint)}")
    if job.request is not None:
        print(f"MLflow: {ui_command(job.request.uri)}")
        if outcome.started is not None:
            print(f"this run: {outcome.started.url}")
    if outcome.status != "FINISHED":
        print(f"stopped early; continue with --resume name={job.name}")
