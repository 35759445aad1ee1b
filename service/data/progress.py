"""How far long work over pictures is: a bar on a terminal, now and then a line in a log."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

_BAR_WIDTH = 20


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
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._quiet_seconds = quiet_seconds
        self._start = self._last_line = time.monotonic()
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._terminal:
            self._stream.write("\r\x1b[K")
        self._stream.flush()

    def add(self, pictures: int) -> None:
        """Counts pictures that are done."""
        self._done += pictures
        if self._terminal:
            filled = _BAR_WIDTH * self._done // max(self._total, 1)
            bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
            self._stream.write(f"\r\x1b[K{bar} {self._text()}")
            self._stream.flush()
        elif time.monotonic() - self._last_line >= self._quiet_seconds:
            self.line(self._text())

    def line(self, text: str) -> None:
        """Shows a line of its own."""
        clear = "\r\x1b[K" if self._terminal else ""
        self._stream.write(f"{clear}{text}\n")
        self._stream.flush()
        self._last_line = time.monotonic()

    def _text(self) -> str:
        speed = self._done / max(time.monotonic() - self._start, 1e-9)
        left = (self._total - self._done) / speed if speed else 0.0
        return f"{self._done}/{self._total} pictures  {speed:.0f} pictures/s  {left:.0f} s left"
