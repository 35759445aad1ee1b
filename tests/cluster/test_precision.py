"""The precision of a run: decided once, kept when it goes on."""

from pathlib import Path

import pytest

from service.cluster import runs
from service.cluster.applications import CLASSIFICATION
from service.cluster.launch import train
from service.cluster.precision import with_begun_precision, with_precision
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, read_mapping
from service.training.precision import multiplies_bf16

HERE = "bf16" if multiplies_bf16(on_gpu=False) else "fp32"
OTHER = "fp32" if HERE == "bf16" else "bf16"


def recipe(*overrides: str) -> ImageNetConfig:
    return load(ImageNetConfig, overrides=list(overrides))


def test_auto_is_what_this_machine_is_fast_with(capsys: pytest.CaptureFixture[str]) -> None:
    config = with_precision(recipe("training.precision=auto"), nodes=1, on_gpu=False)
    assert config.training.precision == HERE
    assert f"training.precision: auto is {HERE}" in capsys.readouterr().out
    assert with_precision(config, nodes=1, on_gpu=False) is config


@pytest.mark.parametrize("order", [True, False])
def test_a_run_keeps_what_it_began_with(tmp_path: Path, order: bool) -> None:
    begun = recipe(f"training.precision={OTHER}", f"training.channels_last={order}")
    runs.record(tmp_path, begun)
    kept = with_begun_precision(recipe("training.precision=auto"), tmp_path / runs.CONFIG)
    assert (kept.training.precision, kept.training.channels_last) == (OTHER, order)
    told = recipe(f"training.precision={HERE}")
    assert with_begun_precision(told, tmp_path / runs.CONFIG) is told


def test_a_new_run_has_nothing_to_keep(tmp_path: Path) -> None:
    config = recipe("training.precision=auto")
    assert with_begun_precision(config, tmp_path / runs.CONFIG) is config


def test_the_record_of_a_run_names_it(tmp_path: Path) -> None:
    config = recipe(
        "name=run",
        "model.depth=18",
        "model.width=8",
        "data.kind=drawn",
        "data.train_pictures=64",
        "data.evaluation_pictures=16",
        f"storage.path={tmp_path}",
        "training.precision=auto",
        "training.duration=1st",
        "training.batch_size=8",
        "tracking.enabled=false",
        "cluster.num_workers=0",
    )
    train(config, CLASSIFICATION, resume=False)
    begun = _training(tmp_path / "run" / runs.CONFIG)
    (checkpoint,) = (tmp_path / "run").glob("step_*")
    assert begun == _training(checkpoint / "config.yaml")
    assert begun["precision"] == HERE


def _training(file: Path) -> dict[str, object]:
    tree = read_mapping(file)["training"]
    assert isinstance(tree, dict)
    return tree
