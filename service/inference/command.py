"""What the programs that use a checkpoint share on their command lines."""

import sys
from argparse import Namespace
from pathlib import Path

from service.config.arguments import Parser
from service.config.errors import ConfigurationError
from service.data.packing import PackedStrings
from service.inference.inputs import listed_pictures
from service.inference.trained import Trained, open_trained


def parser(summary: str, example: str) -> Parser:
    """Returns a parser that knows what all these programs know.

    Args:
        summary: What the program does, one sentence.
        example: A command that works.
    """
    made = Parser(summary, example)
    made.add_argument(
        "--checkpoint",
        required=True,
        metavar="ADDRESS",
        help="a checkpoint's folder (step_…), an exported folder, runs:/<run id>, "
        "models:/<name>/<version>, models:/<name>@<alias>, s3://…",
    )
    made.add_argument(
        "--weights",
        choices=("auto", "model", "ema"),
        default="auto",
        help="auto: the moving average where there is one",
    )
    made.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier call left at --output"
    )
    return made


def add_pictures(made: Parser, purpose: str) -> None:
    """Adds the pictures, folders and lists that a program works on.

    Args:
        made: The program's parser.
        purpose: What they are for.
    """
    made.add_argument("inputs", nargs="*", type=Path, metavar="INPUT", help=purpose)
    made.add_argument(
        "--list",
        action="append",
        default=[],
        type=Path,
        dest="lists",
        metavar="FILE",
        help="a text file with a path in each line",
    )


def add_places(made: Parser, results: str, purpose: str) -> None:
    """Adds the folder of the results, and where runs and MLflow are.

    Args:
        made: The program's parser.
        results: What is written.
        purpose: Which options need to know where runs and MLflow are.
    """
    made.add_argument(
        "--output", required=True, type=Path, metavar="FOLDER", help=f"folder of the {results}"
    )
    made.add_argument("--storage", default="runs", help=f"folder of all runs, for {purpose} (runs)")
    made.add_argument(
        "--uri", default="auto", help=f"MLflow server, for {purpose}; auto: as the runs'"
    )


def given_pictures(options: Namespace) -> PackedStrings:
    """Returns the pictures that `add_pictures` and `add_places` let a user name.

    Raises:
        ConfigurationError: There are none.
    """
    return listed_pictures(options.inputs, options.lists, options.output)


def opened(options: Namespace) -> Trained:
    """Returns the checkpoint that `parser` and `add_places` let a user name.

    Raises:
        ConfigurationError: It cannot be used.
    """
    place = [f"storage.path={options.storage}", f"tracking.uri={options.uri}"]
    try:
        return open_trained(options.checkpoint, place, options.weights)
    except ConfigurationError as error:
        # There they are fields of a configuration; here they are options.
        told = str(error).replace("tracking.uri", "--uri").replace("storage.path", "--storage")
        raise ConfigurationError(told) from error


def say(text: str) -> None:
    """Shows a line now."""
    print(text, flush=True)


def warn(text: str) -> None:
    """Shows a warning."""
    print(f"warning: {text}", file=sys.stderr)
