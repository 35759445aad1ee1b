"""Command-line values of the measurements."""

import argparse


def positive(text: str) -> int:
    """Reads a count.

    Raises:
        argparse.ArgumentTypeError: It is less than one.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number
