"""The command line that every pipeline shares."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.config.base import Config
from service.config.errors import ConfigurationError
from service.config.fields import FieldDescription, describe
from service.config.showing import one_line


@dataclass(frozen=True)
class Command:
    """A parsed command line."""

    files: tuple[Path, ...]
    """Configuration files, lowest first."""
    overrides: tuple[str, ...]
    """Assignments `key.path=value`."""
    flags: frozenset[str]
    """Switches that were given, such as `resume`."""


def parse_command(arguments: Sequence[str], switches: Sequence[str]) -> Command:
    """Splits a command line into files, overrides and switches.

    Overrides are spelled `key.path=value`, `--key.path=value` or `--key.path value`.

    Args:
        arguments: The command line without the program's name.
        switches: Names of the switches the pipeline knows, such as `resume`.

    Raises:
        ConfigurationError: An option lacks its value.
    """
    parser = _QuietParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[], type=Path)
    parser.add_argument("-h", "--help", action="store_true")
    for name in switches:
        parser.add_argument(f"--{name}", action="store_true", dest=name)
    known, rest = parser.parse_known_args(list(arguments))
    given = frozenset(name for name in ("help", *switches) if getattr(known, name))
    return Command(tuple(known.config), tuple(_assignments(rest)), given)


class _QuietParser(argparse.ArgumentParser):
    """Raises instead of printing usage and leaving."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse leaves; we raise
        """Raises the parser's message as ours."""
        raise ConfigurationError(one_line(message))


def _assignments(tokens: Sequence[str]) -> list[str]:
    found: list[str] = []
    waiting: str | None = None
    for token in tokens:
        if waiting is not None and not token.startswith("--"):
            found.append(f"{waiting}={token}")
            waiting = None
        elif waiting is not None:
            break
        elif token.startswith("--") and "=" not in token:
            waiting = token[2:]
        else:
            found.append(token.removeprefix("--"))
    if waiting is not None:
        option = one_line(f"--{waiting}")
        raise ConfigurationError(f"{option} needs a value; write {option} VALUE or see --help")
    return found


def help_text(summary: str, example: str, switches: dict[str, str], default: Config) -> str:
    """Returns what `--help` prints: a sentence, an example, the switches, every field.

    Args:
        summary: What the pipeline does, one sentence.
        example: A command that works.
        switches: Name of each switch and what it does.
        default: The configuration that holds without any option.
    """
    lines = [summary, "", f"  {example}", "", "Options:"]
    lines += ["  --config FILE       a YAML file; may be given again, later files on top"]
    lines += [f"  --{name:<18}{text}" for name, text in switches.items()]
    lines += ["", "Fields, given as key.path=value or --key.path value:", ""]
    lines += [line for field in describe(default) for line in _field_lines(field)]
    return "\n".join(lines)


def _field_lines(field: FieldDescription) -> list[str]:
    condition = f"; with {field.condition}" if field.condition else ""
    return [f"  {field.path}={field.default}", f"      {field.doc} ({field.type}{condition})"]
