"""The thread that delivers metrics and files while training goes on."""

import logging
import math
import threading
import time
from collections.abc import Callable

from service.tracking.address import redact
from service.tracking.client import NotYetOpenError, TrackingUnavailableError
from service.tracking.delivery import Delivery

logger = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0
# Seconds: a server that comes and goes all night is worth a few lines, not thousands.
_QUIET = 600.0


class Shipper:
    """Delivers what a run folder holds every few seconds, in a thread that never stops training.

    While MLflow is away the pause between attempts doubles up to a minute; the first failure is
    reported, and the return. Not reported are a failure before the run is open in MLflow, of which
    `start_run` tells, and a new one within ten minutes of one that was.

    Args:
        delivery: What to deliver.
        every: Seconds between deliveries.
        report: Takes a kind and a line for people to read; called in the thread.
    """

    def __init__(
        self, delivery: Delivery, every: float, report: Callable[[str, str], None]
    ) -> None:
        self._delivery = delivery
        self._every = every
        self._report = report
        self._pause = every
        self._away_since: float | None = None
        self._quiet_until = -math.inf
        self._told = False
        self._until = math.inf
        self._closing = threading.Event()
        # Not waited for at the end of the process: a call may hang in the network.
        self._thread = threading.Thread(target=self._run, name="mlflow-shipper", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self, deadline: float) -> int:
        """Delivers what is left and stops the thread.

        Args:
            deadline: Longest wait in seconds.

        Returns:
            Records of metrics and files that still wait; they stay in the run folder.
        """
        self._until = time.monotonic() + deadline
        self._closing.set()
        self._thread.join(deadline)
        return self._delivery.undelivered()

    def _run(self) -> None:
        """Delivers until closed, and then once more."""
        last = False
        while not last:
            last = self._closing.wait(self._pause)
            self._round()

    def _round(self) -> None:
        """Delivers once and sets the pause before the next time."""
        was_open = self._delivery.is_open
        try:
            self._delivery.deliver(lambda: time.monotonic() < self._until)
        except NotYetOpenError:
            return
        except TrackingUnavailableError as error:
            self._pause = min(_LONGEST_PAUSE, max(self._every, 2 * self._pause))
            if self._away_since is None:
                self._away_since = time.monotonic()
                # One that the server has lost is not open any more; another is, since just now.
                self._tell_of_failure(error, was_open or self._delivery.is_open)
        else:
            self._pause = self._every
            if self._away_since is not None and self._told:
                seconds = time.monotonic() - self._away_since
                self._tell(f"MLflow takes everything again after {seconds:.0f} s; nothing was lost")
            self._away_since = None

    def _tell_of_failure(self, error: TrackingUnavailableError, was_open: bool) -> None:
        """Reports a failure unless people know of it, or of enough like it."""
        now = time.monotonic()
        self._told = not was_open or now >= self._quiet_until
        if was_open and self._told:
            self._quiet_until = now + _QUIET
            self._tell(
                f"MLflow at {redact(self._delivery.request.uri)} does not take everything now "
                f"({error}); the rest is kept in {self._delivery.folder} and delivered later"
            )

    def _tell(self, text: str) -> None:
        """Reports unless closing, when the caller learns the outcome from `close`."""
        if self._closing.is_set():
            return
        try:
            self._report("tracking", text)
        except OSError as error:
            logger.warning("%s (not in the journal: %s)", text, error)
