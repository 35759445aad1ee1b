"""What the driver of a sweep shows: a table on a terminal, lines in a log."""

import io
import re
from collections.abc import Callable

import pytest

from service.cluster.sweeps import live_table
from service.cluster.sweeps.live_table import LiveTable
from service.cluster.sweeps.sweep import Sweep
from service.search.ledger import Ledger
from service.search.trials import Status

MakeSweep = Callable[..., Sweep]
Train = Callable[..., None]
Make = Callable[..., LiveTable]

HEAD = "trial  status     epoch      top1  values"


class Terminal(io.StringIO):
    """A terminal that carries out what is written to it."""

    def isatty(self) -> bool:
        return True

    def screen(self, columns: int = 200) -> list[str]:
        """Returns the lines that stand there, without empty ones at the end."""
        lines, row = [""], 0
        for text, up, clear in re.findall(r"([^\x1b]+)|\x1b\[(\d+)F|\x1b(\[J)", self.getvalue()):
            if up:
                row = max(0, row - int(up))
            elif clear:
                lines[row:] = [""]
            for end, piece in re.findall(r"(\n)|([^\n]+)", text):
                if end:
                    row += 1
                    lines += [""] * (row + 1 - len(lines))
                for start in range(0, len(piece), columns):
                    if start:
                        row += 1
                        lines += [""] * (row + 1 - len(lines))
                    lines[row] = piece[start : start + columns]
        return "\n".join(lines).rstrip("\n").split("\n")


@pytest.fixture
def make(make_sweep: MakeSweep, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Builds a table of four trials; each epoch of a trial took ten seconds."""
    monkeypatch.setattr(live_table, "_REDRAW_EVERY", 0.0)
    monkeypatch.setenv("COLUMNS", "200")

    def made(stream: io.StringIO, total: int = 4) -> LiveTable:
        return LiveTable(make_sweep(), ledger, lambda: 10 * ledger.epochs, total, stream)

    return made


def propose(ledger: Ledger, number: int) -> None:
    for _ in range(number):
        ledger.propose({"model.regularizer.p_l": 0.5, "optimizer.lr": 0.123456})


def logged(stream: io.StringIO) -> list[str]:
    """Returns the lines of a log without their times of day."""
    lines = stream.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    return [line[9:] for line in lines]


def test_a_log_gets_one_line_for_each_event(make: Make, ledger: Ledger, train: Train) -> None:
    stream = io.StringIO()
    table = make(stream)
    propose(ledger, 2)
    for number, value in ((1, 60.0), (2, 71.259), (1, 65.0)):
        train(number, value)
        table.show_result(ledger[number])
    ledger.end(2, "stopped", "stopped early at epoch 1 of 9: by asha", {})
    table.show_end(ledger[2])
    train(1, *[66.0] * 7)
    ledger.end(1, "finished", None, {})
    table.show_end(ledger[1])
    table.close()
    values = "P_L=0.5  lr=0.1235"
    # 4 trials of 9 epochs: 36 of ten seconds each.
    assert logged(stream) == [
        f"trial 001  {values}  epoch 1/9  top1 60.00  best 60.00 (trial 001)  "
        "at most 5 min 50 s left",
        f"trial 002  {values}  epoch 1/9  top1 71.26  best 71.26 (trial 002)  "
        "at most 5 min 40 s left",
        f"trial 001  {values}  epoch 2/9  top1 65.00  best 71.26 (trial 002)  "
        "at most 5 min 30 s left",
        f"trial 002  {values}  stopped early at epoch 1 of 9: by asha",
        f"trial 001  {values}  finished",
    ]
    assert "\x1b" not in stream.getvalue()


def test_a_takeover_is_told(make: Make, ledger: Ledger) -> None:
    stream = io.StringIO()
    table = make(stream)
    propose(ledger, 3)
    table.show_change(ledger[3], 1)
    assert logged(stream) == ["trial 003  P_L=0.5  lr=0.1235  goes on from trial 001"]


def test_a_terminal_shows_one_table_and_nothing_of_older_ones(
    make: Make, ledger: Ledger, train: Train
) -> None:
    stream = Terminal()
    table = make(stream)
    propose(ledger, 2)
    train(1, 60.0)
    table.show_result(ledger[1])
    propose(ledger, 1)
    train(2, 50.0, 55.0)
    table.show_result(ledger[2])
    ledger.end(1, "failed", "lost", {})
    table.show_end(ledger[1])
    ledger.end(2, "stopped", "by asha", {})
    table.show_end(ledger[2])
    table.close()
    # Left: trial 3 and one more, of 9 epochs each. The failed trial is counted and is no leader.
    assert stream.screen() == [
        HEAD,
        "    3  running        0            P_L=0.5  lr=0.1235",
        "    2  stopped        2     55.00  P_L=0.5  lr=0.1235",
        "a-sweep: 3/4 trials: 1 running, 0 finished, 1 stopped, 1 failed  best 55.00 (trial 002)  "
        "at most 3 min 00 s left",
    ]


def test_lines_wider_than_the_terminal_are_drawn_over_too(
    make: Make, ledger: Ledger, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    table = make(stream)
    propose(ledger, 2)
    train(1, 60.0)
    for _ in range(5):
        table.show_result(ledger[1])
    shown = stream.screen(40)
    assert "".join(shown).count("trial  status") == 1
    # 41, 53 and 53 characters, and the last line's 118: two, two, two and three lines.
    assert len(shown) == 2 + 2 + 2 + 3


def test_running_trials_and_the_best_of_the_others_have_room(
    make: Make, ledger: Ledger, train: Train
) -> None:
    stream = Terminal()
    table = make(stream, total=40)
    propose(ledger, 30)
    for number in range(1, 31):
        train(number, float(number))
        if number > 3:
            status: Status = "finished" if number % 2 else "stopped"
            ledger.end(number, status, None, {})
    table.close()
    rows = [int(line.split()[0]) for line in stream.screen()[1:-1]]
    assert rows == [1, 2, 3, *range(30, 13, -1)]


def test_a_terminal_is_not_redrawn_for_every_result(
    make: Make, ledger: Ledger, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_table, "_REDRAW_EVERY", 3600.0)
    stream = Terminal()
    table = make(stream)
    propose(ledger, 1)
    train(1, 50.0)
    table.close()  # drawn now
    drawn = stream.getvalue()
    train(1, 60.0)
    table.show_result(ledger[1])
    assert stream.getvalue() == drawn
    # The end of a trial is shown at once, and so is the last state.
    ledger.end(1, "finished", None, {})
    table.show_end(ledger[1])
    assert " 60.00 " in stream.screen()[1]


def test_before_the_first_result_there_is_no_best_and_no_time_left(make: Make) -> None:
    stream = Terminal()
    make(stream).close()
    assert stream.screen() == [
        HEAD,
        "a-sweep: 0/4 trials: 0 running, 0 finished, 0 stopped, 0 failed",
    ]


def test_the_time_left_is_measured_since_this_driver_began(
    make_sweep: MakeSweep, ledger: Ledger, train: Train
) -> None:
    """The earlier driver was ten times as fast; 27 epochs are left, and 100 seconds each."""
    propose(ledger, 2)
    train(1, *[50.0] * 8)
    clock = [80.0]
    stream = io.StringIO()
    table = LiveTable(make_sweep(), ledger, lambda: clock[0], 4, stream)
    clock[0] += 100
    train(1, 50.0)
    table.show_result(ledger[1])
    assert logged(stream)[-1].endswith("best 50.00 (trial 001)  at most 45 min 00 s left")


def test_early_stopping_shortens_the_rest(make: Make, ledger: Ledger, train: Train) -> None:
    stream = io.StringIO()
    table = make(stream)
    propose(ledger, 4)
    for number in (1, 2, 3):
        train(number, 50.0)
        ledger.end(number, "stopped", "by asha", {})
    train(4, *[50.0] * 9)
    table.show_result(ledger[4])
    assert logged(stream)[-1].endswith("at most 0 s left")


def test_the_smallest_is_the_best_where_that_is_better(
    make_sweep: MakeSweep, ledger: Ledger, train: Train
) -> None:
    stream = io.StringIO()
    sweep = make_sweep("sweep.mode=min", "sweep.metric=val/loss")
    table = LiveTable(sweep, ledger, lambda: 0.0, 4, stream)
    propose(ledger, 2)
    for number, value in ((1, 2.5), (2, 1.25)):
        train(number, value)
        table.show_result(ledger[number])
    assert "loss 1.25  best 1.25 (trial 002)" in logged(stream)[-1]
    table = LiveTable(sweep, ledger, lambda: 0.0, 4, terminal := Terminal())
    train(2, 3.0)  # a later, worse value is not its best
    table.close()
    assert [line.split()[3] for line in terminal.screen()[1:-1]] == ["2.50", "1.25"]
