"""Where the time goes between a command and its first training step."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil


def _process_began() -> float:
    # The system knows when it was started itself to the second only; the difference is exact.
    since_boot = psutil.Process().create_time() - psutil.boot_time()
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)


@dataclass(frozen=True)
class StartUp:
    """The parts of a start that are over, in order. It can be pickled."""

    began: float = field(default_factory=_process_began)
    """When the command was given, seconds since 1970."""
    parts: tuple[tuple[str, float], ...] = ()
    """What each was, and when it was over."""

    def after(self, part: str) -> "StartUp":
        """Returns the start with one more part, which is over now."""
        return StartUp(self.began, (*self.parts, (part, time.time())))

    @property
    def seconds(self) -> float:
        """How long it took until the last part was over."""
        return self.parts[-1][1] - self.began if self.parts else 0.0

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s: {', '.join(_lengths(self.began, self.parts))}"


def _lengths(began: float, parts: Sequence[tuple[str, float]]) -> list[str]:
    """Returns each part with its length; clocks of other machines may be behind."""
    starts = [began, *(end for _, end in parts)]
    return [
        f"{part} {max(end - start, 0.0):.1f}"
        for start, (part, end) in zip(starts, parts, strict=False)
    ]
