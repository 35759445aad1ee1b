"""What a run is told after an evaluation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from service.training.settings import Settings


@dataclass(frozen=True)
class Continuation:
    """Go on from a checkpoint, perhaps of another run, and with other values.

    The networks and their data are the same; see `service.config.changes.CHANGEABLE`.
    """

    checkpoint: Path
    """Folder of the checkpoint: weights, average, optimiser, counts and position come from it."""
    config: Any
    """The whole configuration from now on, as the task understands it; resolved."""
    settings: Settings
    """What the loop reads of it."""


Turn: TypeAlias = Literal["go_on", "stop"] | Continuation
"""Go on as before, save and end, or go on from another state."""
