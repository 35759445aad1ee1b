"""The winner's recipe: a file that its pipeline takes."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cluster.sweeps.sweep import Sweep
from service.cluster.sweeps.winner import BEST, best_recipe, write_best
from service.config.cifar import CIFARConfig
from service.config.command_line import parse_command
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.config.sweep_files import RECIPES
from service.models.completion import resolved
from service.search.ledger import Ledger
from service.search.trials import Change, Point

MakeSweep = Callable[..., Sweep]
Train = Callable[..., None]
P_L, LR = "model.regularizer.p_l", "optimizer.lr"


def point(p_l: float, lr: float) -> Point:
    return {P_L: p_l, LR: lr}


@pytest.fixture
def three(ledger: Ledger, train: Train) -> Ledger:
    """Trials of 60, 80 and 95 percent at best, of which the last failed."""
    for number, values in enumerate([(60.0,), (80.0, 79.0), (95.0,)], 1):
        ledger.propose(point(number / 10, number / 20))
        train(number, *values)
    ledger.end(3, "failed", "lost", {})
    return ledger


def written(sweep: Sweep, ledger: Ledger) -> tuple[list[str], CIFARConfig | ImageNetConfig]:
    """Returns the comment of the file, and what its command trains."""
    (file,) = write_best(sweep, ledger.trials)
    assert file == sweep.folder / BEST
    lines = [line for line in file.read_text("utf-8").splitlines() if line.startswith("# ")]
    program, script, *arguments = shlex.split(lines[0].removeprefix("# "))
    assert (program, script) == ("python", f"pipelines/{sweep.search.pipeline}.py")
    command = parse_command(arguments, [])
    return lines[1:], load(RECIPES[sweep.search.pipeline], command.files, command.overrides)


def test_the_best_trial_that_did_not_fail_wins(make_sweep: MakeSweep, three: Ledger) -> None:
    sweep = make_sweep("cluster.num_workers=1", "expected={value: 93, source: us}")
    lines, config = written(sweep, three)
    assert lines == ["# Trial 002 of the sweep a-sweep: val/top1 80.0000 within 2 epochs."]
    settings = ["model.depth=20", "model.regularizer.kind=shakedrop", "training.duration=9ep"]
    values = ["training.batch_size=64", f"{P_L}=0.2", f"{LR}=0.1"]
    expected = load(CIFARConfig, overrides=[*settings, *values])
    # As it was built; without what the trial had of the cluster, its name and published figures.
    assert config == expected.model_copy(update={"model": resolved(expected.model)})


def test_the_smallest_wins_where_that_is_better(make_sweep: MakeSweep, three: Ledger) -> None:
    lines, config = written(make_sweep("sweep.mode=min", "sweep.metric=val/loss"), three)
    assert lines == ["# Trial 001 of the sweep a-sweep: val/loss 60.0000 within 1 epochs."]
    assert config.optimizer.lr == 0.05
    assert (config.checkpoint.metric, config.checkpoint.mode) == ("val/loss", "min")


def test_values_that_changed_in_training_are_the_last_ones(
    make_sweep: MakeSweep, three: Ledger, train: Train
) -> None:
    three.change(2, Change(0.0, 2, point(0.2, 0.1)))
    assert len(written(make_sweep(), three)[0]) == 1  # how it began is no change
    three.change(2, Change(2.0, 1, point(0.7, 0.5)))
    lines, config = written(make_sweep(), three)
    assert lines[1:] == ["# Its values changed in training; these are the last ones."]
    assert config.optimizer.lr == 0.5
    assert getattr(config.model.regularizer, "p_l", None) == 0.7


def test_a_recipe_for_the_other_pipeline(make_sweep: MakeSweep, three: Ledger) -> None:
    sweep = make_sweep("sweep.pipeline=imagenet", "model.depth=50")
    _, config = written(sweep, three)
    assert isinstance(config, ImageNetConfig)
    assert (config.model.depth, config.optimizer.lr) == (50, 0.1)


def test_a_change_of_kind_is_written(make_sweep: MakeSweep, ledger: Ledger, train: Train) -> None:
    sweep = make_sweep("sweep.space={model.regularizer.kind: {kind: choice, values: [none]}}")
    ledger.propose({"model.regularizer.kind": "none"})
    train(1, 50.0)
    assert written(sweep, ledger)[1].model.regularizer.kind == "none"


def test_a_later_winner_takes_the_place_of_an_earlier_one(
    make_sweep: MakeSweep, three: Ledger, train: Train
) -> None:
    sweep = make_sweep()
    write_best(sweep, three.trials)
    train(1, 85.0)
    assert written(sweep, three)[1].optimizer.lr == 0.05
    assert [file.name for file in sweep.folder.iterdir()] == [BEST]


def test_without_a_value_nothing_is_written(make_sweep: MakeSweep, ledger: Ledger) -> None:
    sweep = make_sweep()
    assert write_best(sweep, ledger.trials) == []
    ledger.propose(point(0.5, 0.1))
    assert write_best(sweep, ledger.trials) == []
    assert list(sweep.folder.iterdir()) == []


def test_the_recipe_names_the_file_it_will_stand_in(make_sweep: MakeSweep, three: Ledger) -> None:
    text = best_recipe(make_sweep(), three[1], Path("there/best.yaml"))
    assert text.startswith("# python pipelines/cifar.py --config there/best.yaml\n# Trial 001 ")
