"""Lengths of training as people write them: `90ep`, `5000st`, `0.5run`."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

_PATTERN = re.compile(r"^(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(ep|st|run)$")


@dataclass(frozen=True)
class Duration:
    """A length of training: epochs (`ep`), optimiser steps (`st`) or a fraction (`run`)."""

    value: float
    unit: Literal["ep", "st", "run"]

    def __str__(self) -> str:
        # Every digit, because the text is what a run is restored from.
        return f"{float(self.value)!r}".removesuffix(".0") + self.unit

    def in_steps(self, steps_per_epoch: float, steps_per_run: int | None = None) -> int:
        """Returns the length in optimiser steps, rounded up.

        Args:
            steps_per_epoch: Samples of an epoch over the global batch size; need not be whole.
            steps_per_run: Steps of the whole run; needed for fractions of the run.

        Raises:
            ValueError: A fraction of the run is asked for without the run's length.
        """
        if self.unit == "st":
            return math.ceil(self.value)
        if self.unit == "ep":
            # A hair below the product, so that 3 epochs of 1/3 step never become 2 steps.
            return math.ceil(self.value * steps_per_epoch - 1e-9)
        if steps_per_run is None:
            raise ValueError(
                f"{self} is a fraction of the run, and the run's length is not known here"
            )
        return math.ceil(self.value * steps_per_run - 1e-9)


def parse_duration(text: object) -> Duration:
    """Reads `90ep`, `5000st` or `0.5run`.

    Raises:
        ValueError: The text is not a number followed by ep, st or run.
    """
    if isinstance(text, Duration):
        return text
    match = _PATTERN.match(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError("write a duration as a number and a unit: 90ep, 5000st or 0.5run")
    unit = match.group(2)
    value = float(match.group(1))
    if math.isinf(value):
        raise ValueError("a duration is finite: 90ep, 5000st or 0.5run")
    if unit == "st" and not value.is_integer():
        raise ValueError("a number of steps is whole: 5000st")
    if unit == "run" and value > 1:
        raise ValueError("a fraction of the run is at most 1run")
    return Duration(value, unit)  # type: ignore[arg-type]  # the pattern admits only the three units


DurationField = Annotated[
    Duration,
    PlainValidator(parse_duration),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN.pattern}),
]
