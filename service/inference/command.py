"""What the programs that use a checkpoint share on their command lines."""

import argparse
from collections.abc import Sequence

from service.config.errors import ConfigurationError


class Parser(argparse.ArgumentParser):
    """Raises what is wrong with a command line, as one line, instead of printing its usage."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse leaves; we raise
        """Raises the parser's message as ours."""
        raise ConfigurationError(f"{message}; see --help")


def parser(summary: str, example: str) -> Parser:
    """Returns a parser that knows what all these programs know.

    Args:
        summary: What the program does, one sentence.
        example: A command that works.
    """
    made = Parser(
        description=f"{summary}\n\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--checkpoint",
        required=True,
        metavar="ADDRESS",
        help="a checkpoint's folder (step_…), runs:/<run id>, models:/<name>/<version>, s3://…",
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


def positive(text: str) -> int:
    """Parses a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def fraction(text: str) -> float:
    """Parses a number in [0, 1]."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def parsed(made: Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the options, which may stand before, between and after the other arguments.

    Raises:
        ConfigurationError: An option is unknown or lacks its value.
    """
    return made.parse_intermixed_args(list(arguments))
