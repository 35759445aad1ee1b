"""What goes from a storage folder, and above all what stays."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from making_runs import MakeRun, kill_a_driver_of, state_of

from service.cluster.driver_lock import only_driver
from service.inspection.command import inspect

FOUR = {0.5: 10.0, 1: 70.0, 1.5: 60.0, 2: 50.0}


def steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step_")) for path in folder.glob("step_*"))


def clean(storage: Path, *options: str) -> int:
    return inspect(["clean", "--storage", str(storage), *options])


def make_old(folder: Path, days: float) -> None:
    then = time.time() - days * 86400
    for path in (folder, *folder.iterdir()):
        os.utime(path, (then, then))


def test_what_a_run_gave_up_goes_and_only_if_asked_to(
    tmp_path: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("a-run", FOUR, "checkpoint.keep=2")
    size = sum(file.stat().st_size for file in (folder / "step_00000005").iterdir())
    assert clean(tmp_path) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        f"{f'{size / 1000:.3g} kB':>8}  {folder / 'step_00000005'}  neither the last nor among "
        "the best",
        f"{size / 1000:.3g} kB can go, files and folders: 1; nothing is deleted without --delete",
    ]
    assert steps(folder) == [5, 10, 15, 20]
    assert clean(tmp_path, "--delete") == 0
    # The last, and the two best.
    assert steps(folder) == [10, 15, 20]
    assert not (folder / "driver.json").exists()
    assert state_of(tmp_path, "a-run").state == "finished"


def test_runs_that_ended_early_long_ago_keep_the_best_and_the_last(
    tmp_path: Path, make_run: MakeRun
) -> None:
    made = {0.5: 10.0, 1: 70.0, 1.25: 65.0, 1.5: 60.0}
    for name in ("failed", "killed", "interrupted", "recent"):
        make_run(name, made)
    make_run("finished", FOUR)
    (tmp_path / "killed" / "stop").touch()
    kill_a_driver_of(tmp_path / "interrupted")
    for name in ("failed", "killed", "interrupted", "finished"):
        make_old(tmp_path / name, 31)
    before = (tmp_path / "interrupted" / "driver.json").read_bytes()
    assert clean(tmp_path, "--delete", "--ended-early", "30") == 0
    for name in ("failed", "killed", "interrupted"):
        assert steps(tmp_path / name) == [10, 15], name
    assert steps(tmp_path / "recent") == [10, 12, 15]
    assert steps(tmp_path / "finished") == [10, 15, 20]
    # What tells that it was interrupted is as it was, its age as well.
    assert (tmp_path / "interrupted" / "driver.json").read_bytes() == before
    assert state_of(tmp_path, "interrupted").state == "interrupted"


def test_a_run_with_a_living_driver_is_left_alone(
    tmp_path: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("a-run", FOUR)
    (folder / ".step_00000021.unfinished").mkdir()
    with only_driver(folder, "run"):
        assert clean(tmp_path, "--delete") == 0
    assert steps(folder) == [5, 10, 15, 20]
    assert (folder / ".step_00000021.unfinished").exists()
    assert f"note: a-run: driven by process {os.getpid()} on " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("other/config.yaml", "model: {weights: /elsewhere/a-run/step_00000005}\n"),
        ("a-sweep/best.yaml", "model:\n  weights: runs/a-run/step_00000005/model.safetensors\n"),
        ("a-sweep/trials.jsonl", '{"facts": {"checkpoint": "/x/a-run/step_00000005"}}\n'),
        ("a-sweep/trial_001/turns/turn_000000.json", '{"checkpoint": "a-run/step_00000005"}'),
    ],
)
def test_a_checkpoint_that_something_refers_to_stays(
    tmp_path: Path, make_run: MakeRun, place: str, content: str
) -> None:
    folder = make_run("a-run", FOUR)
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    (tmp_path / Path(place).parts[0] / "sweep.yaml").touch()
    file.write_text(content)
    assert clean(tmp_path, "--delete") == 0
    assert steps(folder) == [5, 10, 15, 20]
    file.unlink()
    assert clean(tmp_path, "--delete") == 0
    assert steps(folder) == [10, 15, 20]


@pytest.mark.parametrize("name", ["it's 2:1", "a run", "größer"])
def test_odd_names_are_found_in_what_refers_to_them(
    tmp_path: Path, make_run: MakeRun, name: str
) -> None:
    folder = make_run(name, FOUR)
    make_run(
        "other", {2: 60.0}, f"model.weights='{folder / 'step_00000005'}'".replace("t's", "t''s")
    )
    assert clean(tmp_path, "--delete") == 0
    assert steps(folder) == [5, 10, 15, 20]


def test_leftovers_of_interrupted_writes_go(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run("a-run", {2: 60.0})
    (folder / "artifacts" / "evaluation").mkdir(parents=True)
    partial = f".4711-{32 * 'a'}-table.json"
    left = [
        folder / ".step_00000021.unfinished",
        folder / ".step_00000007.removed",
        folder / partial,
        folder / "artifacts" / "evaluation" / partial,
        folder / ".config.yaml.unfinished",
        folder / f".{32 * 'b'}-driver.json",
    ]
    kept = [folder / ".my-notes", folder / "artifacts" / "evaluation" / "table.json"]
    for path in (*left, *kept):
        path.touch()
    left[0].unlink()
    left[0].mkdir()
    (left[0] / "model.safetensors").write_bytes(bytes(100))
    before = {path for path in folder.rglob("*") if path not in (*left, *left[0].iterdir())}
    assert clean(tmp_path, "--delete") == 0
    assert set(folder.rglob("*")) == before


def test_what_lies_beside_the_runs_goes_only_when_it_is_old(
    tmp_path: Path, make_run: MakeRun
) -> None:
    make_run("a-run", {2: 60.0}, f"model.weights={tmp_path}/weights/{16 * 'a'}/step_00000001")
    partial = f".4711-{32 * 'a'}-drawn"
    places = {
        "new": tmp_path / "datasets" / partial,
        "old": tmp_path / "weights" / partial,
        "in use": tmp_path / "weights" / (16 * "a"),
        "not in use": tmp_path / "weights" / (16 * "b"),
        "just fetched": tmp_path / "weights" / (16 * "c"),
    }
    for name, path in places.items():
        path.mkdir(parents=True)
        if name not in ("new", "just fetched"):
            make_old(path, 2)
    assert clean(tmp_path, "--delete") == 0
    assert {name for name, path in places.items() if path.exists()} == {
        "new",
        "in use",
        "just fetched",
    }


def test_no_link_is_followed(tmp_path: Path, make_run: MakeRun) -> None:
    storage = tmp_path / "runs"
    outside = make_run("outside/a-run", FOUR)
    (outside / ".step_00000021.unfinished").mkdir()
    inside = make_run("runs/b-run", FOUR)
    (storage / "link").symlink_to(outside)
    (inside / "artifacts").symlink_to(outside)
    (inside / ".step_00000022.unfinished").symlink_to(outside)
    (storage / "weights").symlink_to(outside.parent)
    # The last checkpoint lies elsewhere: which are the best is not known any more.
    shutil.move(inside / "step_00000020", tmp_path / "step_00000020")
    (inside / "step_00000020").symlink_to(tmp_path / "step_00000020")
    before = sorted(tmp_path.rglob("*"))
    assert clean(storage, "--delete", "--ended-early", "0") == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_checkpoints_whose_figures_are_lost_stay(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run("a-run", FOUR)
    (folder / "step_00000010" / "metrics.json").write_text("{")
    (folder / "step_00000005" / "metrics.json").unlink()
    assert clean(tmp_path, "--delete") == 0
    assert steps(folder) == [5, 10, 15, 20]


def test_steered_trials_keep_all_checkpoints(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run("a-sweep/trial_001", FOUR)
    (tmp_path / "a-sweep" / "sweep.yaml").touch()
    (folder / "turns").mkdir()
    assert clean(tmp_path, "--delete") == 0
    assert steps(folder) == [5, 10, 15, 20]


def test_while_mlflow_is_away_no_checkpoint_goes(
    tmp_path: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "http://127.0.0.1:9"  # nobody listens there
    folder = make_run("a-run", FOUR, "tracking.enabled=true", f"tracking.uri={address}")
    (folder / ".step_00000021.unfinished").mkdir()
    assert clean(tmp_path, "--delete") == 0
    assert steps(folder) == [5, 10, 15, 20]
    assert not (folder / ".step_00000021.unfinished").exists()
    assert f"note: MLflow at {address} cannot be asked now" in capsys.readouterr().err
    assert clean(tmp_path, "--delete", "--no-tracking") == 0
    assert steps(folder) == [10, 15, 20]


def test_only_the_named_runs_are_cleaned(tmp_path: Path, make_run: MakeRun) -> None:
    for name in ("a-run", "b-run"):
        make_run(name, FOUR)
    assert clean(tmp_path, "--delete", "b-run") == 0
    assert steps(tmp_path / "a-run") == [5, 10, 15, 20]
    assert steps(tmp_path / "b-run") == [10, 15, 20]


def test_a_damaged_run_loses_nothing(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run("a-run", FOUR)
    (folder / "config.yaml").write_text(json.dumps({"checkpoint": {"keep": 1}}))
    assert clean(tmp_path, "--delete") == 0
    assert steps(folder) == [5, 10, 15, 20]
