"""The ledger of a sweep: what was written comes back, whatever ended the driver that wrote it."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from service.config.errors import ConfigurationError
from service.search.ledger import Ledger
from service.search.trials import Change, Point, Result, Status, Trial

Seeded = Callable[[int], Random]
P_L, LR = "model.regularizer.p_l", "optimizer.lr"


def point(p_l: float = 0.5) -> Point:
    return {
        P_L: p_l,
        "optimizer.kind": "sgd",
        "optimizer.nesterov": True,
        "training.clip_norm": None,
    }


def state(ledger: Ledger) -> tuple[list[Trial], float, float]:
    return ledger.trials, ledger.epochs, ledger.elapsed


def filled(file: Path) -> Ledger:
    """Writes each kind of event."""
    ledger = Ledger(file)
    ledger.propose(point())
    ledger.propose(point(0.1 + 0.2))
    ledger.add_result(1, Result(1.0, 61.25, 30.5, 20.125))
    ledger.add_result(2, Result(1 / 3, 60.0, 31.5, 10.0))
    ledger.change(2, Change(1 / 3, 1, point(0.6)))
    ledger.end(1, "failed", "RuntimeError: 3 µs too late", {"checkpoint": "/runs/α/step_00000004"})
    return ledger


def happen(ledger: Ledger, random: Random) -> None:
    """Lets one thing happen that can happen now."""
    running = [trial for trial in ledger.trials if trial.status == "running"]
    kind = random.choice(["propose", "result", "result", "change", "end"])
    if kind == "propose" or not running:
        ledger.propose({P_L: random.random(), LR: 10 ** random.uniform(-3, 0)})
        return
    trial = random.choice(running)
    if kind == "result":
        at, seconds = ledger.elapsed + random.random() - 0.2, trial.seconds + random.random()
        ledger.add_result(
            trial.number, Result(trial.epochs + 1, 100 * random.random(), at, seconds)
        )
    elif kind == "change":
        source = random.choice(ledger.trials)
        ledger.change(trial.number, Change(trial.epochs, source.number, {P_L: random.random()}))
    else:
        status: Status = random.choice(["finished", "stopped", "failed"])
        reason = None if status == "finished" else "by asha"
        ledger.end(trial.number, status, reason, {"checkpoint": f"step_{trial.number:08d}"})


@pytest.mark.parametrize("seed", range(5))
def test_replay_equals_the_live_state_at_every_moment(
    tmp_path: Path, seeded: Seeded, seed: int
) -> None:
    file, random = tmp_path / "trials.jsonl", seeded(seed)
    live = Ledger(file)
    for _ in range(40):
        happen(live, random)
        assert state(Ledger(file)) == state(live)
    # The next driver goes on where this one was.
    later = Ledger(file)
    for _ in range(20):
        happen(later, random)
    assert state(Ledger(file)) == state(later)
    assert [trial.number for trial in later.trials] == list(range(1, len(later.trials) + 1))


def test_a_trial_gathers_what_happened_to_it(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "trials.jsonl")
    first, second = ledger.trials
    assert first == Trial(
        1,
        point(),
        "failed",
        (Result(1.0, 61.25, 30.5, 20.125),),
        reason="RuntimeError: 3 µs too late",
        facts={"checkpoint": "/runs/α/step_00000004"},
    )
    # Population based training: the latest values count, the change tells since when and whence.
    assert second.point == point(0.6)
    assert second.changes == (Change(1 / 3, 1, point(0.6)),)
    assert second.status == "running"
    assert ledger[2] is second
    assert ledger.epochs == 1 + 1 / 3
    assert ledger.elapsed == 31.5
    # Written down late, by a clock that had been read before.
    ledger.add_result(2, Result(1.0, 61.0, 31.0, 25.0))
    assert ledger.elapsed == 31.5


def test_changes_gather_in_the_order_of_time(tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    ledger = Ledger(file)
    for _ in range(2):
        ledger.propose({P_L: 0.5})
    changes = (Change(0.0, 2, {P_L: 0.5}), Change(1.0, 1, {P_L: 0.6}), Change(3.0, 2, {P_L: 0.48}))
    for change in changes:
        ledger.change(2, change)
    for known in (ledger, Ledger(file)):
        assert known[2].changes == changes
        assert known[2].point == {P_L: 0.48}
        assert known[1].changes == ()


def test_types_of_values_come_back(tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    given: Point = {"a": True, "b": 1, "c": 1.0, "d": "1", "e": None, "f": 1e-300}
    Ledger(file).propose(given)
    found = Ledger(file)[1].point
    assert found == given
    assert [type(value) for value in found.values()] == [bool, int, float, str, type(None), float]


@pytest.mark.parametrize(
    "text", ["two\nlines", "line\u2028separator", "ä€😀", '"quoted" \\ \x00', ""]
)
def test_any_reason_stays_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "trials.jsonl"
    ledger = Ledger(file)
    ledger.propose(point())
    ledger.end(1, "failed", text, {"run_id": text})
    ledger.propose(point())
    again = Ledger(file)
    assert (again[1].reason, again[1].facts) == (text, {"run_id": text})
    assert file.read_bytes().count(b"\n") == 3


def test_a_ledger_cut_off_anywhere_goes_on_from_its_last_whole_line(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    filled(whole)
    data = whole.read_bytes()
    torn, clean = tmp_path / "torn.jsonl", tmp_path / "clean.jsonl"
    for length in range(len(data) + 1):
        torn.write_bytes(data[:length])
        kept = data[: data.rfind(b"\n", 0, length) + 1]
        clean.write_bytes(kept)
        assert state(Ledger(torn)) == state(Ledger(clean))
        assert torn.read_bytes() == kept


def test_what_is_written_after_a_cut_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    filled(file)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    ledger = Ledger(file)
    assert ledger[1].status == "running"
    ledger.end(1, "stopped", "by asha", {})
    again = Ledger(file)
    assert state(again) == state(ledger)
    assert again[1].status == "stopped"


def test_no_file_and_an_empty_one_are_a_new_sweep(tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    assert state(Ledger(file)) == ([], 0.0, 0.0)
    assert not file.exists()
    file.touch()
    assert state(Ledger(file)) == ([], 0.0, 0.0)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\0" * 40,
        b"{}",
        b"5",
        b"[1]",
        b'"proposed"',
        b'{"event": "proposed", "trial": 2',
        b'{"event": "proposed", "trial": 2}',
        b'{"event": "proposed", "trial": 2, "point": 3}',
        b'{"event": "propozed", "trial": 2, "point": {}}',
        # The line that proposed trial 9 is lost.
        b'{"event": "result", "trial": 9, "epoch": 1, "value": 1, "at": 1, "seconds": 1}',
        b'{"event": "result", "trial": 1, "epoch": 1, "value": "x", "at": 1, "seconds": 1}',
        b'{"event": "ended", "trial": 1, "status": "failed"}',
        b"\xff\xfe" + b'{"event"',
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_damage_is_told_with_its_line_and_left_alone(
    tmp_path: Path, damage: bytes, last: bool
) -> None:
    file = tmp_path / "trials.jsonl"
    filled(file)
    lines = file.read_bytes().splitlines()
    number = len(lines) if last else 2
    lines[number - 1] = damage
    data = b"\n".join(lines) + b"\n"
    file.write_bytes(data)
    told = rf"trials\.jsonl: line {number} is damaged; restore the file, or start a new sweep"
    with pytest.raises(ConfigurationError, match=told) as caught:
        Ledger(file)
    assert len(str(caught.value).splitlines()) == 1
    assert file.read_bytes() == data


def test_events_are_lines_that_people_can_read(tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    filled(file)
    events = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [event["event"] for event in events] == [
        *("proposed", "proposed", "result", "result", "changed", "ended")
    ]
    assert "µs" in file.read_text("utf-8")
