"""A steered run as one of its workers sees it: waiting for turns, and restarting among them.

Every worker reads the same turns in the same order, so all take the same ones without talking to
each other: a wait may be longer than a collective operation may take.

Each continuation begins a new life of the run. Its checkpoints carry the number of the life, so
that a restarted run finds those that follow the newest continuation, whatever their steps.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from service.cluster.turns import latest_continuation, read_turn, written_turns
from service.config.run import RunConfig
from service.training.checkpoint import CheckpointContent
from service.training.checkpoint_files import METADATA
from service.training.turn import Continuation, Turn

_LIFE = "life"
_POLL_SECONDS = 0.05


class Steering:
    """The turns of a run.

    A continuation holds whenever it is read. Other turns hold for the step they answer: after a
    restart the run may ask again, or not at all, about a step that was answered.

    Attributes:
        latest: The newest continuation that the run has taken, or None.

    Args:
        folder: The run's folder.
        schema: Class of the run's configuration.
        known: How many turns there were when the workers started; the same number on all of them.

    Raises:
        ConfigurationError: A turn is damaged, or its configuration cannot be used.
    """

    def __init__(self, folder: Path, schema: type[RunConfig], known: int) -> None:
        self._folder = folder
        self._schema = schema
        self._next = self._life = 0
        self.latest: Continuation | None = None
        latest = latest_continuation(folder, schema, known)
        if latest is not None:
            self._begin_life(*latest)

    def wait(self, step: int) -> Turn:
        """Returns the answer to an evaluation as soon as it is there.

        Nothing but a turn ends the wait: who asks a steered run to stop writes one.

        Args:
            step: Optimiser steps done.

        Raises:
            ConfigurationError: A turn is damaged, or its configuration cannot be used.
        """
        while True:
            turn = self._unread(step)
            if turn is not None:
                return turn
            time.sleep(_POLL_SECONDS)

    def stamped(self, checkpoint: CheckpointContent) -> CheckpointContent:
        """Returns a checkpoint that tells which life of the run it belongs to."""
        return replace(checkpoint, metadata={**checkpoint.metadata, _LIFE: self._life})

    def resumption(self, folders: Sequence[Path]) -> list[Path]:
        """Returns the checkpoints from which a restart may go on, the right one first.

        Those since the newest continuation, then the one that it went on from, then older ones.

        Args:
            folders: The run's checkpoints, newest first.
        """
        recent = [folder for folder in folders if _life(folder) in (self._life, None)]
        origin = [] if self.latest is None else [self.latest.checkpoint]
        return [*recent, *origin, *(folder for folder in folders if folder not in recent)]

    def _unread(self, step: int) -> Turn | None:
        """Returns the first turn from `_next` on that holds, and moves on behind it."""
        for number in range(self._next, written_turns(self._folder)):
            answered, turn = read_turn(self._folder, number, self._schema)
            self._next = number + 1
            if isinstance(turn, Continuation):
                self._begin_life(number, turn)
                return turn
            if answered == step:
                return turn
        return None

    def _begin_life(self, number: int, turn: Continuation) -> None:
        self._next = self._life = number + 1
        self.latest = turn


def _life(folder: Path) -> int | None:
    """Returns the life that a checkpoint belongs to; None if that cannot be read."""
    try:
        metadata = json.loads((folder / METADATA).read_bytes())
    except (OSError, ValueError):
        # Reading the checkpoint will complain.
        return None
    return metadata.get(_LIFE, 0) if isinstance(metadata, dict) else None
