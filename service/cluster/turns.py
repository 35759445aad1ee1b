"""Turns of a steered run: one file for each answer of its driver.

A steered run waits after each evaluation for a turn. The driver writes turns into the run's folder,
numbered in the order in which it decides, and never changes or deletes one; only one process writes
to a run. All its workers read them (`service.cluster.steering`).
"""

import os
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from service.cluster.job import settings_of
from service.config.base import Config, NonNegativeInt
from service.config.errors import ConfigurationError
from service.config.loading import to_yaml, validate
from service.config.run import RunConfig
from service.config.yaml_reading import read_yaml
from service.storage.atomic import whole_file
from service.training.turn import Continuation, Turn

C = TypeVar("C", bound=RunConfig)


class _Plain(Config):
    """The file of a turn without more to say."""

    step: NonNegativeInt
    """Optimiser steps after which the run asked."""
    action: Literal["go_on", "stop"]
    """How it goes on."""


class _Continue(Config):
    """The file of a continuation."""

    step: NonNegativeInt
    """Optimiser steps after which the run asked."""
    action: Literal["continue"]
    """How it goes on."""
    checkpoint: str
    """Folder of the checkpoint it goes on from."""
    config: str
    """The resolved configuration it goes on with, YAML."""


_FILE: TypeAdapter[_Plain | _Continue] = TypeAdapter(
    Annotated[_Plain | _Continue, Field(discriminator="action")]
)


def continuation(checkpoint: Path, config: RunConfig) -> Continuation:
    """Returns the turn that lets a run go on from a checkpoint with a resolved configuration."""
    return Continuation(checkpoint, config, settings_of(config))


def turn_path(folder: Path, number: int) -> Path:
    """Returns the file of a run's turn; numbers count from 0."""
    return folder / "turns" / f"turn_{number:06d}.json"


def written_turns(folder: Path) -> int:
    """Returns how many turns a run was given so far."""
    try:
        # Over NFS a name that was looked up before may stay unseen for long; a listing shows it.
        names = set(os.listdir(turn_path(folder, 0).parent))
    except FileNotFoundError:
        return 0
    count = 0
    while turn_path(folder, count).name in names:
        count += 1
    return count


def write_turn(folder: Path, step: int, turn: Turn) -> Path:
    """Answers a run that waits after an evaluation, and returns the answer's file.

    Args:
        folder: The run's folder.
        step: Optimiser steps after which it asked.
        turn: The answer. The checkpoint of a continuation must be whole, and must stay until the
            run has written one of its own.
    """
    path = turn_path(folder, written_turns(folder))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        unfinished.write_text(_content(step, turn).model_dump_json(indent=2), encoding="utf-8")
    return path


def read_turn(folder: Path, number: int, schema: type[RunConfig]) -> tuple[int, Turn]:
    """Returns the step after which the run asked, and the answer.

    Args:
        folder: The run's folder.
        number: The turn's number, below `written_turns`.
        schema: Class of the run's configuration.

    Raises:
        ConfigurationError: The file is damaged, or its configuration cannot be used.
    """
    path = turn_path(folder, number)
    try:
        content = _FILE.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(f"{path}: no readable turn; restore the file ({reason})") from None
    if isinstance(content, _Plain):
        return content.step, content.action
    return content.step, continuation(Path(content.checkpoint), _config(path, content, schema))


def latest_continuation(
    folder: Path, schema: type[RunConfig], known: int
) -> tuple[int, Continuation] | None:
    """Returns the number of a run's newest continuation, and the continuation, if there is one.

    Args:
        folder: The run's folder.
        schema: Class of the run's configuration.
        known: How many turns count.

    Raises:
        ConfigurationError: A turn is damaged, or its configuration cannot be used.
    """
    for number in reversed(range(known)):
        _, turn = read_turn(folder, number, schema)
        if isinstance(turn, Continuation):
            return number, turn
    return None


def latest_config(folder: Path, schema: type[C]) -> C | None:
    """Returns the configuration of a run's newest continuation, if there is one.

    Args:
        folder: The run's folder.
        schema: Class of the run's configuration.

    Raises:
        ConfigurationError: A turn is damaged, or its configuration cannot be used.
    """
    latest = latest_continuation(folder, schema, written_turns(folder))
    if latest is None:
        return None
    config: C = latest[1].config
    return config


def _content(step: int, turn: Turn) -> _Plain | _Continue:
    if isinstance(turn, Continuation):
        checkpoint, config = str(turn.checkpoint.absolute()), to_yaml(turn.config)
        return _Continue(step=step, action="continue", checkpoint=checkpoint, config=config)
    return _Plain(step=step, action=turn)


def _config(path: Path, content: _Continue, schema: type[RunConfig]) -> RunConfig:
    try:
        return validate(schema, read_yaml(content.config))
    except ValueError as error:
        raise ConfigurationError(f"{path}: config: {error}") from None
