"""Pictures that cannot be used: told once each, counted, and bounded."""

import math
from collections.abc import Callable

from service.config.detection_data import ScenesConfig
from service.data.decoding import DamagedPictureError
from service.data.detection.batch import DetectionBatch


class SkippedPictures:
    """What a worker skips under `data.on_error=skip`.

    Args:
        config: The bound.
        warn: Shows a line to the person who started the run.
    """

    def __init__(self, config: ScenesConfig, warn: Callable[[str], None]) -> None:
        self._bound = config.max_skipped_fraction
        self._warn = warn
        self._told: set[str] = set()
        self.seen = 0
        self.skipped = 0

    def add(self, batch: DetectionBatch) -> None:
        """Counts a batch.

        Raises:
            DamagedPictureError: More pictures than the bound cannot be used.
        """
        self.seen += len(batch)
        self.skipped += len(batch.failures)
        for failure in batch.failures:
            if failure not in self._told:
                self._told.add(failure)
                self._warn(f"{failure}; skipped")
        # A single picture is no share of anything until enough were seen.
        if batch.failures and self.skipped > max(1, math.ceil(self._bound * self.seen)):
            raise DamagedPictureError(
                f"{self.skipped} of {self.seen} pictures cannot be used, more than "
                f"data.max_skipped_fraction={self._bound:g} allows; the last: {batch.failures[-1]}"
            )
