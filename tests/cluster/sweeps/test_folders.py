"""Names of sweeps, and what may change when one is resumed."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cluster.runs import CONFIG as RUN_CONFIG
from service.cluster.runs import check_name
from service.cluster.sweeps import folders
from service.cluster.sweeps.sweep import Sweep
from service.config.errors import ConfigurationError
from service.config.sweep_files import load_sweep

MakeSweep = Callable[..., Sweep]
PBT = "sweep.scheduler={kind: pbt, every: 2}"


def test_the_newest_sweep_is_the_one_recorded_last(tmp_path: Path) -> None:
    for age, name in enumerate(("c", "a", "b")):
        folders.record(tmp_path / name, load_sweep([], [f"name={name}"]))
        os.utime(tmp_path / name / folders.CONFIG, (age, age))
    # A single run is no sweep, and neither is a trial.
    for name in ("d", "a/trial_001"):
        (tmp_path / name).mkdir()
        (tmp_path / name / RUN_CONFIG).write_text("name: d\n")
    assert folders.newest(tmp_path) == "b"
    folders.record(tmp_path / "c", load_sweep([], ["name=c"]))
    assert folders.newest(tmp_path) == "c"
    assert [folders.exists(tmp_path / name) for name in "abcde"] == [True] * 3 + [False] * 2


@pytest.mark.parametrize("storage", ["empty", "missing"])
def test_without_a_sweep_there_is_no_newest(tmp_path: Path, storage: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"^--resume: no sweep in .*; start one without"):
        folders.newest(tmp_path / storage)


@pytest.mark.parametrize("kind", ["grid", "random", "tpe"])
def test_new_names_are_plain(kind: str) -> None:
    name = folders.new_name(kind)
    check_name(name)
    assert name.startswith(f"sweep-{kind}-2")


def test_what_is_recorded_is_read_back(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(PBT, "sweep.budget.hours=1.5")
    folders.record(sweep.folder, sweep.config)
    assert load_sweep([sweep.folder / folders.CONFIG], []) == sweep.config
    assert [path.name for path in sweep.folder.iterdir()] == [folders.CONFIG]
    folders.record(sweep.folder, sweep.config.model_copy(update={"name": "changed"}))
    assert load_sweep([sweep.folder / folders.CONFIG], []).name == "changed"


def test_files_of_a_sweep_lie_in_its_folder(make_sweep: MakeSweep, tmp_path: Path) -> None:
    config = make_sweep().config
    ledger, tune = folders.ledger(tmp_path, config), folders.tune_folder(tmp_path / "a-sweep")
    assert {ledger.parent, tune.parent} == {tmp_path / "a-sweep"}


@pytest.mark.parametrize(
    ("change", "path", "before", "after"),
    [
        (
            "sweep.constraints=[optimizer.lr <= 0.5]",
            "sweep.constraints",
            [],
            ["optimizer.lr <= 0.5"],
        ),
        ("sweep.search={kind: tpe}", "sweep.search.kind", "random", "tpe"),
        ("sweep.search.seed=1", "sweep.search.seed", 0, 1),
        ("sweep.scheduler={kind: asha}", "sweep.scheduler.kind", "pbt", "asha"),
        ("sweep.scheduler.every=3", "sweep.scheduler.every", 2.0, 3.0),
        ("sweep.metric=val/top5", "sweep.metric", "val/top1", "val/top5"),
        ("sweep.mode=min", "sweep.mode", "max", "min"),
        ("training.duration=10ep", "training.duration", "9ep", "10ep"),
        ("training.seed=5", "training.seed", 0, 5),
        ("model.depth=32", "model.depth", 20, 32),
        ("model.regularizer.gate=sample", "model.regularizer.gate", "batch", "sample"),
        ("optimizer.momentum=0.5", "optimizer.momentum", 0.9, 0.5),
        ("loss.label_smoothing=0.1", "loss.label_smoothing", 0.0, 0.1),
        ("data.train.cutout=8", "data.train.cutout", 0, 8),
        ("data.train_pictures=80", "data.train_pictures", None, 80),
        ("checkpoint.keep=5", "checkpoint.keep", 2, 5),
    ],
)
def test_what_the_trials_share_must_stay(
    make_sweep: MakeSweep, change: str, path: str, before: object, after: object
) -> None:
    sweep = make_sweep(PBT)
    folders.record(sweep.folder, sweep.config)
    with pytest.raises(ConfigurationError) as caught:
        folders.check_resumable(sweep.folder, make_sweep(PBT, change).config)
    assert str(caught.value) == (
        f"{path}: the sweep a-sweep began with {before} (got {after}); resume with the same, or "
        "start a new sweep under another name"
    )


@pytest.mark.parametrize(
    ("begun", "now", "path"),
    [
        ("{a.b: {kind: choice, values: [1]}}", "{}", "sweep.space.a.b.kind"),
        ("{}", "{a.b: {kind: choice, values: [1]}}", "sweep.space.a.b.kind"),
        (
            "{a.b: {kind: choice, values: [1]}}",
            "{a.b: {kind: choice, values: [1, 2]}}",
            "sweep.space.a.b.values",
        ),
        (
            "{a.b: {kind: choice, values: [1]}}",
            "{a.b: {kind: choice, values: [1], when: {c.d: [3]}}}",
            "sweep.space.a.b.when.c.d",
        ),
    ],
)
def test_the_space_must_stay(make_sweep: MakeSweep, begun: str, now: str, path: str) -> None:
    sweep = make_sweep(f"sweep.space={begun}")
    folders.record(sweep.folder, sweep.config)
    with pytest.raises(ConfigurationError, match=rf"^{re.escape(path)}: the sweep a-sweep began"):
        folders.check_resumable(sweep.folder, make_sweep(f"sweep.space={now}").config)


def test_the_other_pipeline_is_another_sweep(make_sweep: MakeSweep) -> None:
    sweep = make_sweep()
    folders.record(sweep.folder, sweep.config)
    other = load_sweep([], ["sweep.pipeline=imagenet", "name=a-sweep"])
    with pytest.raises(ConfigurationError, match="kind: the sweep a-sweep began with"):
        folders.check_resumable(sweep.folder, other)


def test_size_and_place_may_change(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(PBT)
    folders.record(sweep.folder, sweep.config)
    folders.check_resumable(sweep.folder, sweep.config)
    changes = [
        "sweep.trials=9",
        "sweep.budget={hours: 3, epochs: 100}",
        "sweep.concurrent_trials=1",
        "sweep.keep=1",
        "cluster.num_workers=2",
        "tracking.experiment=other",
        "storage.path=/elsewhere",
        "name=renamed",
    ]
    folders.check_resumable(sweep.folder, make_sweep(PBT, *changes).config)


def test_values_that_yaml_writes_in_another_way_stay_the_same(make_sweep: MakeSweep) -> None:
    settings = [
        "sweep.space={optimizer.lr: {kind: log_uniform, low: 1.0e-7, high: 1.0e+5},"
        " training.seed: {kind: integer, low: 0, high: 3, when: {data.kind: ['007', null, true]}},"
        " optimizer.momentum: {kind: choice, values: [0.1, 1, '1', null, 'no', '2026-01-31']}}",
        "data.kind=parquet",
        "data.root='2026-01-31'",
    ]
    sweep = make_sweep(*settings)
    folders.record(sweep.folder, sweep.config)
    folders.check_resumable(sweep.folder, make_sweep(*settings).config)
