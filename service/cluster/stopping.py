"""What SIGTERM and Ctrl-C do to a driver: the first asks to save and end, the second ends."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from service.cluster.console import announce


@contextmanager
def stoppable(stop: Callable[[], None], *, saving: str) -> Iterator[None]:
    """Lets the work inside be stopped from outside.

    Args:
        stop: Asks what runs to save and end; it returns at once.
        saving: Who saves what first, for the line that is printed.

    Raises:
        KeyboardInterrupt: A second signal came, by Ctrl-C.
        SystemExit: A second signal came, by SIGTERM.
    """
    asked = False

    def ask(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(143)
        asked = True
        stop()
        announce(f"asked to stop: {saving} first; ask again to end at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
