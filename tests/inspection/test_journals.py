"""What a journal tells of a run."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.inspection.journals import read_history, read_tail


def write(folder: Path, *records: dict[str, Any]) -> None:
    lines = "".join(json.dumps({"time": 1000 * (n + 1)} | r) + "\n" for n, r in enumerate(records))
    (folder / "metrics.jsonl").write_text(lines)


def step(number: int, **metrics: float) -> dict[str, Any]:
    return {"step": number, "metrics": {k.replace("__", "/"): v for k, v in metrics.items()}}


def test_a_history_counts_what_happened(tmp_path: Path) -> None:
    write(
        tmp_path,
        step(0, val__best_top1=float("nan")),
        step(10, time__step_seconds=2.0, time__images_per_second=10.0, system__workers=2),
        step(20, time__step_seconds=1.0, time__images_per_second=30.0, train__skipped_steps=1),
        step(20, val__best_top1=60.0, val__top1=60.0, time__evaluation_seconds=3.0),
        {"event": "warning", "text": "the workers were started again"},
        step(30, time__step_seconds=1.0, system__workers=1, time__recovery_seconds=7.5),
        step(40, val__best_top1=60.0, val__top1=50.0, time__evaluation_seconds=4.0),
        step(45, system__workers=2, train__skipped_pictures=3, time__images_per_second=20.0),
    )
    history = read_history(tmp_path)
    assert history.workers == [(10, 2), (30, 1), (45, 2)]
    assert history.recoveries == [7.5]
    assert (history.skipped_steps, history.skipped_pictures) == (1, 3)
    assert history.training_seconds == 10 * 2.0 + 10 * 1.0 + 10 * 1.0
    assert history.evaluation_seconds == 7.0
    assert history.images_per_second == 20.0
    assert history.figures["val/top1"] == 50.0
    assert history.best_step == {"val/best_top1": 20}
    assert [event.text for event in history.events] == ["the workers were started again"]
    assert (history.began, history.ended, history.step) == (1.0, 8.0, 45)


def test_no_journal_is_an_empty_history(tmp_path: Path) -> None:
    history = read_history(tmp_path)
    assert (history.step, history.began, history.images_per_second) == (0, None, None)
    assert read_tail(tmp_path, "val/top1").step is None


@pytest.mark.parametrize("length", [0, 2, 100_000])
def test_the_last_evaluation_is_found_behind_other_lines(tmp_path: Path, length: int) -> None:
    write(
        tmp_path,
        step(10, val__best_top1=70.0, val__top1=70.0),
        step(20, val__best_top1=70.0, val__top1=60.0),
        step(21, train__loss=1.0, **{"x" * length: 1.0}),
        step(22, train__loss=1.0),
    )
    with (tmp_path / "metrics.jsonl").open("ab") as journal:
        journal.write(b"\xff\x00 damaged\n" + b'{"time": 9, "step": 99, "met')
    tail = read_tail(tmp_path, "val/top1")
    assert (tail.step, tail.last, tail.best) == (22, 60.0, 70.0)


def test_a_journal_larger_than_its_tail_is_read_from_its_end(tmp_path: Path) -> None:
    losses = [step(n, train__loss=1.0) for n in range(10, 10_000)]
    write(tmp_path, step(5, val__top1=70.0), *losses, step(10_000, val__top1=60.0))
    assert (tmp_path / "metrics.jsonl").stat().st_size > 2 * 256 * 1024
    tail = read_tail(tmp_path, "val/top1")
    assert (tail.step, tail.last) == (10_000, 60.0)
