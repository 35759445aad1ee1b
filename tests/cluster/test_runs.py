"""Names of runs, and what may change when one is resumed."""

import os
from pathlib import Path

import pytest

from service.cluster import runs
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load


def test_the_newest_run_is_the_one_recorded_last(tmp_path: Path) -> None:
    for age, name in enumerate(("c", "a", "b")):
        runs.record(tmp_path / name, ImageNetConfig(name=name))
        os.utime(tmp_path / name / runs.CONFIG, (age, age))
    assert runs.newest(tmp_path) == "b"


def test_without_a_run_there_is_no_newest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--resume: no run in .*; start one without"):
        runs.newest(tmp_path)


@pytest.mark.parametrize("name", ["../other", "a/b", "/abs", "..", ".hidden", "new\nline", ""])
def test_a_name_stays_within_the_storage(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no plain folder name"):
        runs.check_name(name)


def test_new_names_are_plain() -> None:
    runs.check_name(runs.new_name("shakedrop-preresnet50_w16"))


@pytest.mark.parametrize(
    "change",
    [
        "model.depth=34",
        "training.batch_size=64",
        "training.seed=1",
        "optimizer.kind=adamw",
        "data.kind=folder",
        "training.average.enabled=true",
    ],
)
def test_what_weights_or_order_depend_on_must_stay(tmp_path: Path, change: str) -> None:
    runs.record(tmp_path, load(ImageNetConfig))
    changed = load(
        ImageNetConfig, overrides=[change, "data.root=/x"] if "folder" in change else [change]
    )
    path = change.partition("=")[0]
    with pytest.raises(ConfigurationError, match=rf"^{path}: the run .* began with .*resume with"):
        runs.check_resumable(tmp_path, changed)


def test_the_rest_may_change(tmp_path: Path) -> None:
    runs.record(tmp_path, load(ImageNetConfig))
    changes = [
        "training.duration=120ep",
        "optimizer.lr=0.01",
        "cluster.num_workers=7",
        "model.regularizer.p_l=0.7",
        "data.loading_processes=3",
    ]
    runs.check_resumable(tmp_path, load(ImageNetConfig, overrides=changes))
