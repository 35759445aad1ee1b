"""The command line of `pipelines/export.py`."""

import argparse
from collections.abc import Sequence

from service.config.arguments import parsed
from service.export.files import FORMATS
from service.inference.command import add_pictures, add_places, parser

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
    add_pictures(
        made,
        "pictures and folders to compare on; without, the run's evaluation pictures, or drawn ones "
        "where those are not here",
    )
    add_places(made, "files", "runs:/, models:/ and --register")
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
    return parsed(made, arguments)
