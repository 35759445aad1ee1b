"""What people see of long work."""

import io

import pytest

from service.data.progress import Progress, duration_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_that_goes_away() -> None:
    stream = Terminal()
    with Progress(4, stream) as progress:
        progress.add(2)
        progress.line("skipped: a.png")
    text = stream.getvalue()
    assert "█" * 10 + "░" * 10 + " 2/4 pictures" in text
    assert "\r\x1b[Kskipped: a.png\n" in text
    assert text.endswith("\r\x1b[K")


def test_now_and_then_a_line_in_a_log() -> None:
    quiet, chatty = io.StringIO(), io.StringIO()
    with Progress(4, quiet) as one, Progress(4, chatty, quiet_seconds=0.0) as other:
        one.add(2)
        other.add(2)
    assert quiet.getvalue() == ""
    assert chatty.getvalue().startswith("2/4 pictures")


def test_a_bar_stays_in_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    with Progress(4000, stream) as progress:
        progress.add(2000)
    *_, bar, _ = stream.getvalue().split("\r\x1b[K")
    assert bar.startswith("█" * 10 + "░" * 10 + " 2000/")
    assert len(bar) == 29


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (18420, "5 h 07 min")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
