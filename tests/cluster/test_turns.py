"""Turns: whole files in order, what workers make of them, and where a restarted run goes on."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from service.cluster.steering import Steering
from service.cluster.turns import (
    continuation,
    latest_config,
    read_turn,
    turn_path,
    write_turn,
    written_turns,
)
from service.config.cifar import CIFARConfig
from service.config.errors import ConfigurationError
from service.config.loading import load, to_yaml
from service.training.checkpoint import (
    CheckpointContent,
    newest_valid,
    read_checkpoint,
    write_checkpoint,
)
from service.training.checkpoint_files import METADATA
from service.training.retention import checkpoint_folder, checkpoint_folders
from service.training.turn import Continuation


def config(lr: float) -> CIFARConfig:
    # A name that YAML would read as a date.
    return load(CIFARConfig, overrides=[f"optimizer.lr={lr}", "name=2026-01-31"])


def content(value: float) -> CheckpointContent:
    return CheckpointContent(
        {"weight": torch.tensor([value])}, None, {"position": 0}, "", {}, {"classes": ["a"]}
    )


def steering(folder: Path) -> Steering:
    return Steering(folder, CIFARConfig, written_turns(folder))


def test_a_turn_comes_back_as_it_was_given(tmp_path: Path) -> None:
    given = continuation(tmp_path / "other" / "step_00000008", config(0.3))
    write_turn(tmp_path, 4, "go_on")
    write_turn(tmp_path, 8, given)
    write_turn(tmp_path, 12, "stop")
    assert written_turns(tmp_path) == 3
    assert [read_turn(tmp_path, n, CIFARConfig) for n in range(3)] == [
        (4, "go_on"),
        (8, given),
        (12, "stop"),
    ]
    assert given.settings.optimizer.lr == 0.3
    assert given.settings.config_yaml == to_yaml(config(0.3))


def test_a_turn_appears_whole(tmp_path: Path) -> None:
    """Reads without a pause while turns are written: a half-written one would be damaged."""
    given = continuation(tmp_path / "step_00000008", config(0.3))

    def write() -> None:
        for step in range(50):
            write_turn(tmp_path, step, given)

    writer = threading.Thread(target=write)
    writer.start()
    read = 0
    while read < 50:
        while read < written_turns(tmp_path):
            assert read_turn(tmp_path, read, CIFARConfig) == (read, given)
            read += 1
    writer.join()
    # Nothing unfinished is left.
    assert len(list(turn_path(tmp_path, 0).parent.iterdir())) == 50


def test_an_unfinished_turn_does_not_exist(tmp_path: Path) -> None:
    whole = write_turn(tmp_path, 4, "go_on")
    whole.with_name(f".1-abc-{turn_path(tmp_path, 1).name}").write_text('{"step": 8, "act')
    assert written_turns(tmp_path) == 1
    assert steering(tmp_path).latest is None


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: "", "no readable turn"),
        (lambda text: text[: len(text) // 2], "no readable turn"),
        (lambda text: "[1]", "no readable turn"),
        (lambda text: text.replace('"continue"', '"jump"'), "no readable turn.*'jump'"),
        (lambda text: text.replace('"checkpoint"', '"chekpoint"'), "no readable turn.*chekpoint"),
        (lambda text: text.replace("lr: 0.3", "lr: -1"), r"config: optimizer\.lr"),
        (lambda text: text.replace("optimizer:", "optimizer: ["), "config: "),
    ],
)
def test_a_damaged_turn_is_named(
    tmp_path: Path, damage: Callable[[str], str], complaint: str
) -> None:
    path = write_turn(tmp_path, 4, continuation(tmp_path / "step_00000004", config(0.3)))
    path.write_text(damage(path.read_text()))
    for read in (
        lambda: read_turn(tmp_path, 0, CIFARConfig),
        lambda: latest_config(tmp_path, CIFARConfig),
        lambda: Steering(tmp_path, CIFARConfig, 0).wait(4),
    ):
        with pytest.raises(ConfigurationError, match=rf"turn_000000\.json: {complaint}"):
            read()


def test_a_restart_begins_with_the_newest_configuration(tmp_path: Path) -> None:
    assert latest_config(tmp_path, CIFARConfig) is None
    write_turn(tmp_path, 4, "go_on")
    assert latest_config(tmp_path, CIFARConfig) is None
    for step, lr in ((8, 0.3), (12, 0.4)):
        write_turn(tmp_path, step, continuation(tmp_path / "x", config(lr)))
    write_turn(tmp_path, 16, "go_on")
    assert latest_config(tmp_path, CIFARConfig) == config(0.4)
    latest = steering(tmp_path).latest
    assert latest is not None
    assert latest.config == config(0.4)
    # Only what all workers counted when they started.
    earlier = Steering(tmp_path, CIFARConfig, 2).latest
    assert earlier is not None
    assert earlier.config == config(0.3)


def test_a_worker_waits_for_its_turn(tmp_path: Path) -> None:
    answers: list[object] = []
    worker = threading.Thread(target=lambda: answers.append(steering(tmp_path).wait(8)))
    worker.start()
    write_turn(tmp_path, 4, "stop")  # of a step that nobody asks about any more
    time.sleep(0.2)
    assert not answers
    write_turn(tmp_path, 8, "go_on")
    worker.join(timeout=10)
    assert answers == ["go_on"]


def test_all_workers_take_the_same_turns_whenever_they_look(tmp_path: Path) -> None:
    early, late = steering(tmp_path), steering(tmp_path)
    back = continuation(tmp_path / "step_00000004", config(0.3))
    taken = []
    # Step 8 comes twice: the first continuation leads back to step 4.
    for step, turn in ((4, "go_on"), (8, back), (8, "go_on"), (12, "stop")):
        write_turn(tmp_path, step, turn)
        taken.append(early.wait(step))
    assert [late.wait(step) for step in (4, 8, 8, 12)] == taken == ["go_on", back, "go_on", "stop"]


def test_a_restarted_worker_repeats_its_turns(tmp_path: Path) -> None:
    given = continuation(tmp_path / "step_00000004", config(0.3))
    for step, turn in ((4, "go_on"), (8, given), (8, "go_on"), (12, "go_on")):
        write_turn(tmp_path, step, turn)
    # Killed after step 12, back at the continuation: steps 8 and 12 were answered.
    restarted = steering(tmp_path)
    assert restarted.latest == given
    assert [restarted.wait(8), restarted.wait(12)] == ["go_on", "go_on"]


def test_a_continuation_given_while_the_run_restarted_is_taken_later(tmp_path: Path) -> None:
    write_turn(tmp_path, 4, "go_on")
    restarted = steering(tmp_path)
    given = continuation(tmp_path / "step_00000008", config(0.3))
    write_turn(tmp_path, 8, given)  # the run had asked before it was killed
    assert restarted.wait(12) == given


class Run:
    """A steered run's folder, with what its worker would write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, value: float) -> Path:
        folder = checkpoint_folder(self.folder, step)
        write_checkpoint(folder, steering(self.folder).stamped(content(value)))
        return folder

    def take_over(self, step: int, source: Path) -> Continuation:
        turn = continuation(source, config(0.3))
        write_turn(self.folder, step, turn)
        return turn

    def resumed(self) -> tuple[float, list[str]]:
        found, complaints = newest_valid(
            steering(self.folder).resumption(checkpoint_folders(self.folder))
        )
        assert found is not None
        return float(found.model["weight"]), complaints


def test_a_restart_goes_on_where_the_run_was(tmp_path: Path) -> None:
    run, other = Run(tmp_path / "run"), tmp_path / "other"
    source = checkpoint_folder(other, 4)
    write_checkpoint(source, content(100.0))
    run.save(4, 1.0)
    run.save(8, 2.0)
    assert run.resumed() == (2.0, [])
    # Before its first checkpoint afterwards: the other run's state, though its step is lower.
    run.take_over(8, source)
    assert run.resumed() == (100.0, [])
    # Afterwards: its own, though an older one of an earlier life has a higher step.
    run.save(6, 3.0)
    assert run.resumed() == (3.0, [])
    run.save(8, 4.0)
    assert run.resumed() == (4.0, [])
    # Taking over from itself.
    run.take_over(8, checkpoint_folder(run.folder, 6))
    assert run.resumed() == (3.0, [])


def test_damaged_checkpoints_are_reported_and_passed_over(tmp_path: Path) -> None:
    run, source = Run(tmp_path / "run"), checkpoint_folder(tmp_path / "other", 8)
    write_checkpoint(source, content(100.0))
    run.save(8, 2.0)
    run.take_over(8, source)
    newest = run.save(12, 3.0)
    (newest / METADATA).write_text("{")
    value, complaints = run.resumed()
    assert value == 100.0
    assert len(complaints) == 1
    assert "step_00000012" in complaints[0]
    shutil.rmtree(source)
    value, complaints = run.resumed()
    assert value == 2.0
    assert ["step_00000012" in complaints[0], "other/step_00000008" in complaints[1]] == [True] * 2


def test_checkpoints_from_before_the_run_was_steered_count(tmp_path: Path) -> None:
    run = Run(tmp_path)
    write_checkpoint(checkpoint_folder(tmp_path, 4), content(1.0))
    assert run.resumed() == (1.0, [])


def test_the_stamp_leaves_the_rest_alone(tmp_path: Path) -> None:
    folder = Run(tmp_path).save(4, 1.0)
    found = read_checkpoint(folder)
    assert found.metadata["classes"] == ["a"]
    assert replace(found, metadata={}, model={}) == replace(content(1.0), metadata={}, model={})
    assert json.loads((folder / METADATA).read_text())["life"] == 0
