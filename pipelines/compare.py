"""Compares the runs of an MLflow experiment: a table and a picture of error by method."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from service.config.arguments import Parser, parsed
from service.config.errors import ConfigurationError
from service.config.failures import ended
from service.config.loading import load
from service.config.run import RunConfig
from service.storage.folders import storage_folder
from service.tracking.address import redact, resolve_uri
from service.tracking.client import TrackingUnavailableError, connect_to_existing
from service.tracking.comparison import FinishedRun, finished_runs, methods
from service.tracking.comparison_report import draw, markdown


def main(arguments: Sequence[str]) -> int:
    """Prints the table and writes `comparison.md` and `comparison.png`; returns the exit status."""
    return ended(lambda: _compare(_parse(arguments)), "the comparison")


def _compare(options: argparse.Namespace) -> int:
    if options.output.exists() and not options.output.is_dir():
        raise ConfigurationError(f"--output: {options.output}: is no folder; give another name")
    found = methods(_runs(options))
    table = markdown(found)
    print(table)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "comparison.md").write_text(table + "\n", encoding="utf-8")
    draw(found, options.output / "comparison.png", options.experiment)
    print(f"\nwritten to {options.output / 'comparison.md'} and comparison.png beside it")
    return 0


def _runs(options: argparse.Namespace) -> list[FinishedRun]:
    uri = _tracking_uri(options)
    try:
        return finished_runs(connect_to_existing(uri), options.experiment, options.metric)
    except TrackingUnavailableError as error:
        raise ConfigurationError(
            f"--uri: MLflow at {redact(uri)} cannot be used now ({error}); start it, or give "
            "another address or --storage"
        ) from error


def _tracking_uri(options: argparse.Namespace) -> str:
    try:
        place = (f"storage.path={options.storage}", f"tracking.uri={options.uri}")
        config = load(RunConfig, (), place)
        return resolve_uri(config.tracking, storage_folder(config.storage, Path.cwd()), nodes=1)
    except ConfigurationError as error:
        # There they are fields of a configuration; here they are options.
        told = str(error).replace("tracking.uri", "--uri").replace("storage.path", "--storage")
        raise ConfigurationError(told) from error


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    made = Parser(
        "Compares the finished runs of an MLflow experiment by their final error: a table and a "
        "picture.",
        "python pipelines/compare.py --experiment cifar",
    )
    made.add_argument("--experiment", required=True, help="name of the MLflow experiment")
    made.add_argument("--storage", default="runs", help="folder of all runs, or s3://… (runs)")
    made.add_argument("--uri", default="auto", help="MLflow server; auto: as the runs' own")
    made.add_argument(
        "--metric", default="val/top1", help="in percent, larger is better (val/top1)"
    )
    made.add_argument(
        "--output", type=Path, default=Path("comparison"), help="folder to write (comparison)"
    )
    return parsed(made, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
