"""Command lines that are no configuration: options of a program."""

import argparse
from collections.abc import Sequence

from service.config.errors import ConfigurationError


class Parser(argparse.ArgumentParser):
    """Raises what is wrong with a command line, as one line, instead of printing its usage.

    Args:
        summary: What the program does, one sentence.
        example: A command that works.
    """

    def __init__(self, summary: str, example: str) -> None:
        super().__init__(allow_abbrev=False)
        self._beginning = f"{summary}\n\n  {example}\n\n"

    def format_help(self) -> str:
        """Returns what `--help` prints, the sentence and the example before all else."""
        return self._beginning + super().format_help()

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse leaves; we raise
        """Raises the parser's message as ours."""
        raise ConfigurationError(f"{message}; see --help")


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
