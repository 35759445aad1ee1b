"""How far long work is: a bar on a terminal, now and then a line in a log."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import Self, TextIO

_BAR_WIDTH = 20
_CLEAR = "\r\x1b[K"
_WIDE = 10_000  # columns of a terminal that does not tell


class ProgressLine:
    """A bar that is drawn over itself on a terminal; elsewhere lines, with silence between them.

    Args:
        stream: Where they go.
        quiet_seconds: Longest silence in a log that is no terminal, while there is progress.
    """

    def __init__(self, stream: TextIO, quiet_seconds: float) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._quiet_seconds = quiet_seconds
        self._last_line = time.monotonic()

    def show(self, share: float, text: Callable[[], str]) -> None:
        """Shows how far it is.

        Args:
            share: How much of the work is done, 0 to 1.
            text: Makes what stands beside the bar, or in a line of its own.
        """
        if self._terminal:
            filled = int(_BAR_WIDTH * share)
            shown = "█" * filled + "░" * (_BAR_WIDTH - filled) + f" {text()}"
            # What goes on in a second line could not be drawn over.
            columns = shutil.get_terminal_size((_WIDE, 1)).columns
            self._stream.write(_CLEAR + shown[: columns - 1])
            self._stream.flush()
        elif time.monotonic() - self._last_line >= self._quiet_seconds:
            self.line(text())

    def line(self, text: str) -> None:
        """Shows a line of its own."""
        clear = _CLEAR if self._terminal else ""
        self._stream.write(f"{clear}{text}\n")
        self._stream.flush()
        self._last_line = time.monotonic()

    def clear(self) -> None:
        """Takes the bar away."""
        if self._terminal:
            self._stream.write(_CLEAR)
        self._stream.flush()


class Progress:
    """Shows how many pictures are done; as a context manager it clears its bar at the end.

    Args:
        total: Pictures in all.
        stream: Where lines go; the bar appears only if it is a terminal.
        quiet_seconds: Longest silence in a log that is no terminal.
    """

    def __init__(
        self, total: int, stream: TextIO | None = None, quiet_seconds: float = 30.0
    ) -> None:
        self._total = total
        self._shown = ProgressLine(stream or sys.stderr, quiet_seconds)
        self._start = time.monotonic()
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._shown.clear()

    def add(self, pictures: int) -> None:
        """Counts pictures that are done."""
        self._done += pictures
        self._shown.show(self._done / max(self._total, 1), self._text)

    def line(self, text: str) -> None:
        """Shows a line of its own."""
        self._shown.line(text)

    def _text(self) -> str:
        speed = self._done / max(time.monotonic() - self._start, 1e-9)
        left = (self._total - self._done) / speed if speed else 0.0
        progress = f"{self._done}/{self._total} pictures"
        return f"{progress}  {speed:.0f} pictures/s  {duration_text(left)} left"


def duration_text(seconds: float) -> str:
    """Returns a length of time as people read it: 45 s, 3 min 20 s, 5 h 07 min."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
