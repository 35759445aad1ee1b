"""Pictures that cannot be used: told once each, counted over all workers, and bounded."""

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from service.config.base import Config
from service.config.data import PicturesConfig
from service.config.detection_data import ScenesConfig
from service.data.decoding import DamagedPictureError
from service.data.gathering import gather


@dataclass(frozen=True)
class Failure:
    """A picture that cannot be used."""

    index: int
    """Where it stands in its set."""
    text: str
    """One line that names it and says why."""


class PartialBatch(Protocol):
    """A batch that knows what it lacks."""

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The pictures that were wanted and cannot be used."""
        ...


B = TypeVar("B", bound=PartialBatch)


def most_skipped(config: Config) -> float | None:
    """Returns the largest share of a split that may be skipped; None where nothing may.

    Args:
        config: The section `data`. Of pictures that are in memory none may be skipped.
    """
    if isinstance(config, PicturesConfig | ScenesConfig) and config.on_error == "skip":
        return config.max_skipped_fraction
    return None


def not_skipped(error: DamagedPictureError) -> DamagedPictureError:
    """Returns the error that ends a run in which nothing may be skipped: it tells the remedy."""
    return DamagedPictureError(f"{error}; set data.on_error=skip to leave such pictures out")


class SkippedPictures:
    """What all workers together skip of a split's pictures.

    A worker takes note of what its own batches lack. `agree`, which all workers call at the same
    steps, tells the others: only then is anything told, counted or refused, the same on each.

    Args:
        split: What messages call the split: training, evaluation.
        pictures: Pictures of the split.
        most: Largest share of them that may be skipped; None where none may.
        warn: Shows a line to the person who started the run.
        outcome: What becomes of such a picture, as the line says.
    """

    def __init__(
        self,
        split: str,
        pictures: int,
        most: float | None,
        warn: Callable[[str], None],
        outcome: str = "skipped",
    ) -> None:
        self._allowed = most is not None
        self._split = split
        self._key = f"skipped_{split}"
        self._pictures = pictures
        self._most = most or 0.0
        self._warn = warn
        self._outcome = outcome
        self._known: set[int] = set()
        self._new: list[Failure] = []
        self._lacking = 0

    def noted(self, batches: Generator[B, None, None]) -> Generator[B, None, None]:
        """Yields batches, and takes note of what each lacks when it is drawn, not before."""
        try:
            for batch in batches:
                self._lacking += len(batch.failures)
                self._new += [one for one in batch.failures if one.index not in self._known]
                yield batch
        finally:
            batches.close()

    def agree(self) -> int:
        """Brings together what the workers noted; they call it together.

        Returns:
            How many pictures the batches of all workers lacked since the last time.

        Raises:
            DamagedPictureError: More pictures than the bound cannot be used; the same everywhere.
        """
        if not self._allowed:
            return 0
        shares = gather((self._lacking, self._new))
        self._lacking, self._new = 0, []
        found = self._tell(one for _, new in shares for one in new)
        if found:
            self._check(f"; the last: {found[-1].text}")
        return sum(lacking for lacking, _ in shares)

    def counts(self) -> dict[str, float]:
        """Agrees, and returns how many pictures were skipped so far, each counted once."""
        self.agree()
        return self.figure(len(self._known))

    def figure(self, count: int) -> dict[str, float]:
        """Returns a number of skipped pictures as a metric; none where nothing may be skipped."""
        return {"skipped_pictures": float(count)} if self._allowed else {}

    def state_dict(self) -> dict[str, Any]:
        """Returns which pictures were skipped, once the workers have agreed."""
        return {self._key: torch.tensor(sorted(self._known), dtype=torch.int64)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from such a state, or from that of an older run, which has none."""
        self._known = set(state[self._key].tolist()) if self._key in state else set()
        self._lacking, self._new = 0, []

    def _tell(self, failures: Iterable[Failure]) -> list[Failure]:
        """Returns those that were not known; shows a line for each."""
        found = []
        for failure in failures:
            if failure.index not in self._known:
                self._known.add(failure.index)
                self._warn(f"{failure.text}; {self._outcome}")
                found.append(failure)
        return found

    def _check(self, last: str) -> None:
        """Raises DamagedPictureError if too many pictures, or all of them, cannot be used."""
        count, split = len(self._known), f"{self._pictures} {self._split} pictures"
        if count == self._pictures:
            raise DamagedPictureError(f"none of the {split} can be used{last}")
        if count > self._most * self._pictures:
            raise DamagedPictureError(
                f"{count} of {split} cannot be used, more than "
                f"data.max_skipped_fraction={self._most:g} allows; mend them, or raise it{last}"
            )
