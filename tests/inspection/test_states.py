"""How a run stands is told by what lies in its folder."""

import json
import shutil
from pathlib import Path

import pytest
from making_runs import MakeRun, kill_a_driver_of, state_of

from service.cluster.driver_lock import only_driver
from service.inspection.folders import look_into


def test_a_run_is_finished_at_its_full_length(tmp_path: Path, make_run: MakeRun) -> None:
    make_run("a-run", {1: 60.0, 2: 50.0})
    found = state_of(tmp_path, "a-run")
    assert (found.state, found.epoch, found.step) == ("finished", 2, 20)
    assert (found.best, found.last, found.metric) == (60.0, 50.0, "val/top1")


def test_a_length_in_steps_is_told_by_the_step(tmp_path: Path, make_run: MakeRun) -> None:
    make_run("whole", {1: 60.0}, "training.duration=10st")
    make_run("half", {1: 60.0}, "training.duration=20st")
    assert state_of(tmp_path, "whole").state == "finished"
    assert state_of(tmp_path, "half").state == "failed"


def test_a_run_that_ended_before_has_failed_or_was_killed(
    tmp_path: Path, make_run: MakeRun
) -> None:
    folder = make_run("a-run", {1: 60.0})
    assert state_of(tmp_path, "a-run").state == "failed"
    (folder / "stop").touch()
    assert state_of(tmp_path, "a-run").state == "killed"


def test_a_driver_that_lives_makes_it_running_and_one_that_died_interrupted(
    tmp_path: Path, make_run: MakeRun
) -> None:
    folder = make_run("a-run", {1: 60.0})
    with only_driver(folder, "run"):
        assert state_of(tmp_path, "a-run").state == "running"
    kill_a_driver_of(folder)
    assert state_of(tmp_path, "a-run").state == "interrupted"


def test_steps_since_the_newest_checkpoint_count(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run("a-run", {1: 60.0})
    with (folder / "metrics.jsonl").open("a") as journal:
        journal.write(json.dumps({"time": 1, "step": 15, "metrics": {"train/loss": 1.0}}) + "\n")
        journal.write('{"time": 2, "step": 17, "metri')  # being written
    found = state_of(tmp_path, "a-run")
    assert (found.epoch, found.step, found.last) == (1.5, 15, 60.0)


def test_without_checkpoints_nobody_can_tell(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run("a-run", {2: 60.0})
    (folder / "step_00000020").rename(tmp_path / "elsewhere")
    assert state_of(tmp_path, "a-run").state == "unknown"


def test_a_run_just_begun_has_no_configuration_yet(tmp_path: Path) -> None:
    with only_driver(tmp_path / "a-run", "run"):
        found = state_of(tmp_path, "a-run")
        assert (found.state, found.problem) == ("running", None)


@pytest.mark.parametrize(
    "text", ["{", "a: b", "[1]", "training: {duration: long}", "!!python/object:os.system {}"]
)
def test_a_damaged_configuration_is_named(tmp_path: Path, make_run: MakeRun, text: str) -> None:
    folder = make_run("a-run", {2: 60.0})
    (folder / "config.yaml").write_text(text)
    found = state_of(tmp_path, "a-run")
    assert found.state == "unknown"
    assert found.problem is not None
    assert f"{folder / 'config.yaml'}: damaged" in found.problem
    assert "\n" not in found.problem


def test_trials_are_what_their_sweep_says(tmp_path: Path, make_run: MakeRun) -> None:
    events = [
        {"event": "proposed", "trial": 1, "point": {}},
        {"event": "proposed", "trial": 2, "point": {}},
        {"event": "result", "trial": 1, "epoch": 1.0, "value": 60.0, "at": 1.0, "seconds": 1.0},
        {"event": "result", "trial": 2, "epoch": 1.0, "value": 40.0, "at": 2.0, "seconds": 1.0},
        {"event": "ended", "trial": 2, "status": "stopped", "reason": "worse", "facts": {}},
    ]
    sweep = tmp_path / "a-sweep"
    make_run("a-sweep/trial_001", {1: 60.0})
    make_run("a-sweep/trial_002", {1: 40.0})
    text = "sweep: {metric: val/top1, mode: max, keep: 3}\ntraining: {duration: 2ep}\n"
    (sweep / "sweep.yaml").write_text(text)
    lines = [json.dumps(event) for event in events]
    (sweep / "trials.jsonl").write_text("\n".join(lines) + '\n{"event": "resu')
    with only_driver(sweep, "sweep"):
        states = [state_of(tmp_path, f"a-sweep/trial_00{number}").state for number in (1, 2)]
        assert states == ["running", "killed"]
        shutil.rmtree(sweep / "trial_002" / "step_00000010")  # the other one is better
        assert state_of(tmp_path, "a-sweep/trial_002").epoch == 1
        whole = state_of(tmp_path, "a-sweep")
    assert (whole.state, whole.trials, whole.epoch, whole.best) == ("running", 2, 2.0, 60.0)
    assert state_of(tmp_path, "a-sweep").state == "killed"
    # Reading cuts nothing off: the driver may just be writing.
    assert (sweep / "trials.jsonl").read_text().endswith('{"event": "resu')


def test_what_is_no_run_is_named_and_links_are_not_followed(
    tmp_path: Path, make_run: MakeRun
) -> None:
    storage = tmp_path / "runs"
    make_run("runs/a-run", {2: 60.0})
    make_run("outside", {2: 60.0})
    (storage / "link").symlink_to(tmp_path / "outside")
    (storage / "photographs").mkdir()
    (storage / "datasets").mkdir()
    (storage / "mlflow.db").touch()
    contents = look_into(storage)
    assert [place.name for place in contents.places] == ["a-run"]
    assert contents.notes == [
        "link: a link, not followed",
        "photographs: neither a run nor a sweep",
    ]


@pytest.mark.parametrize("name", ["driver.json", "metrics.jsonl"])
def test_a_folder_where_a_file_should_be_is_named(
    tmp_path: Path, make_run: MakeRun, name: str
) -> None:
    folder = make_run("a-run", {2: 60.0})
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    found = state_of(tmp_path, "a-run")
    assert (found.state, found.problem) == ("unknown", f"{folder / name}: Is a directory")
