"""What the driver prints."""

import io
import time
from pathlib import Path

from service.cluster.console import Console
from service.config.durations import Duration
from service.tracking.journal import METRICS_JOURNAL, Journal
from service.training.length import RunLength

LENGTH = RunLength(samples_per_epoch=100, batch_size=10, duration=Duration(2, "ep"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _follow(folder: Path, stream: io.StringIO, quiet_seconds: float = 60) -> str:
    console = Console(folder, LENGTH, ["top1"], stream, quiet_seconds)
    with Journal(folder / METRICS_JOURNAL) as journal, console:
        journal.write(0, {"val/best_top1": float("nan")})
        journal.write(
            5,
            {
                "train/loss": 1.25,
                "train/lr": 0.1,
                "time/images_per_second": 30.0,
                "time/data_wait": 0.25,
            },
        )
        time.sleep(0.5)  # the bar shows what is new between two looks
        journal.write(
            10,
            {"val/best_top1": 61.0, "val/top1": 60.5, "val/loss": 1, "time/evaluation_seconds": 2},
        )
        journal.write_event("warning", "the server is away")
    return stream.getvalue()


def test_a_log_gets_one_line_an_evaluation(tmp_path: Path) -> None:
    lines = _follow(tmp_path, io.StringIO()).splitlines()
    assert lines == [
        "epoch 1.0/2  step 10/20  loss 1.2500  lr 0.1  30 pictures/s  data wait 25%  3 s left"
        "  |  best top1 61.00  top1 60.50",
        "warning: the server is away",
    ]


def test_a_log_is_not_silent_between_evaluations_that_are_far_apart(tmp_path: Path) -> None:
    lines = _follow(tmp_path, io.StringIO(), quiet_seconds=0).splitlines()
    assert lines[0].startswith("epoch 0.5/2  step 5/20  loss 1.2500")
    assert len(lines) == 3


def test_a_terminal_also_gets_a_bar(tmp_path: Path) -> None:
    shown = _follow(tmp_path, Terminal())
    assert "█████░░░░░░░░░░░░░░░ epoch 0.5/2  step 5/20" in shown


def test_lines_from_before_a_restart_are_not_shown_again(tmp_path: Path) -> None:
    _follow(tmp_path, io.StringIO())
    stream = io.StringIO()
    with Console(tmp_path, LENGTH, ["top1"], stream):
        pass
    assert stream.getvalue() == ""
