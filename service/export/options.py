"""The command line of `pipelines/export.py`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from service.config.arguments import parsed
from service.export.files import FORMATS
from service.inference.command import parser

_EXAMPLE = (
    "python pipelines/export.py --checkpoint runs/resnet50/step_00450000 --output exported "
    "--register resnet50 --alias champion"
)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line.

    Raises:
        ConfigurationError: An option is unknown or lacks its value.
    """
    made = parser(
        "Writes a trained network for other programs and compares each file with the network.",
        _EXAMPLE,
    )
    made.add_argument(
        "inputs",
        nargs="*",
        type=Path,
        metavar="INPUT",
        help="pictures and folders to compare on; without, the run's evaluation pictures, or drawn "
        "ones where those are not here",
    )
    made.add_argument(
        "--list",
        action="append",
        default=[],
        type=Path,
        dest="lists",
        metavar="FILE",
        help="a text file with a path in each line",
    )
    made.add_argument(
        "--output", required=True, type=Path, metavar="FOLDER", help="folder of the files"
    )
    made.add_argument(
        "--format",
        action="append",
        choices=FORMATS,
        dest="formats",
        help="may be given several times; without, all that the kind of network has",
    )
    made.add_argument(
        "--register",
        metavar="NAME",
        help="register the classifier with MLflow, for `mlflow models serve`",
    )
    made.add_argument("--alias", help="of the registered version, such as champion")
    made.add_argument(
        "--storage", default="runs", help="folder of all runs, for runs:/ and --register (runs)"
    )
    made.add_argument(
        "--uri", default="auto", help="MLflow server, for runs:/ and --register; auto: as the runs'"
    )
    return parsed(made, arguments)
