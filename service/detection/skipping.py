"""Pictures that cannot be used: told once each, counted, and bounded."""

from collections.abc import Callable

from service.config.detection_data import ScenesConfig
from service.data.decoding import DamagedPictureError
from service.data.detection.batch import DetectionBatch


class SkippedPictures:
    """What a worker skips of the training pictures under `data.on_error=skip`.

    Args:
        config: The bound.
        pictures: Pictures of the training split.
        warn: Shows a line to the person who started the run.
    """

    def __init__(self, config: ScenesConfig, pictures: int, warn: Callable[[str], None]) -> None:
        self._bound = config.max_skipped_fraction
        self._pictures = pictures
        self._warn = warn
        self._told: set[str] = set()

    def add(self, batch: DetectionBatch) -> None:
        """Takes note of a batch.

        Raises:
            DamagedPictureError: More pictures than the bound cannot be used.
        """
        for failure in batch.failures:
            if failure not in self._told:
                self._told.add(failure)
                self._warn(f"{failure}; skipped")
        if batch.failures and len(self._told) > self._bound * self._pictures:
            raise DamagedPictureError(
                f"{len(self._told)} of {self._pictures} training pictures cannot be used, more "
                f"than data.max_skipped_fraction={self._bound:g} allows; the last: "
                f"{batch.failures[-1]}"
            )
