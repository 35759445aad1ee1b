"""Compares the runs of an MLflow experiment: a table and a picture of error by method."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from service.config.errors import ConfigurationError
from service.config.training import TrackingConfig
from service.tracking.address import reachable, redact, resolve_uri
from service.tracking.client import connect
from service.tracking.comparison import finished_runs, methods
from service.tracking.comparison_report import draw, markdown


def main(arguments: Sequence[str]) -> int:
    """Prints the table and writes `comparison.md` and `comparison.png`; returns the exit status."""
    options = _parse(arguments)
    try:
        uri = resolve_uri(TrackingConfig(uri=options.uri), options.storage, nodes=1)
        problem = reachable(uri)
        if problem is not None:
            raise ConfigurationError(f"--uri: MLflow at {redact(uri)} does not answer: {problem}")
        found = methods(finished_runs(connect(uri), options.experiment, options.metric))
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = markdown(found)
    print(table)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "comparison.md").write_text(table + "\n", encoding="utf-8")
    draw(found, options.output / "comparison.png", options.experiment)
    print(f"\nwritten to {options.output / 'comparison.md'} and comparison.png beside it")
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Compares the finished runs of an experiment by their final error.",
        epilog="example: python pipelines/compare.py --experiment cifar",
    )
    parser.add_argument("--experiment", required=True, help="name of the MLflow experiment")
    parser.add_argument("--storage", type=Path, default=Path("runs"), help="folder of all runs")
    parser.add_argument("--uri", default="auto", help="MLflow server; auto: as the runs' own")
    parser.add_argument("--metric", default="val/top1", help="in percent, larger is better")
    parser.add_argument("--output", type=Path, default=Path("comparison"), help="folder to write")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
