"""Sweep files: a recipe with a search over it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config.cifar import CIFARConfig
from service.config.command_line import help_text
from service.config.fields import describe
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml
from service.config.sweep import (
    ASHAConfig,
    BudgetConfig,
    ChoiceConfig,
    GridSearchConfig,
    IntegerConfig,
    LogUniformConfig,
    MedianStoppingConfig,
    NoSchedulerConfig,
    PopulationConfig,
    RandomSearchConfig,
    SweepConfig,
    TPESearchConfig,
    UniformConfig,
)
from service.config.sweep_files import (
    RECIPES,
    SCHEMAS,
    CIFARSweep,
    ImageNetSweep,
    load_sweep,
    recipe_tree,
)

Write = Callable[[str, str], Path]

_VALUES = "list of true or false or whole number or number or text or null"

FULL = """
name: a-sweep
model: {depth: 20}
training: {duration: 9ep}
sweep:
  pipeline: cifar
  space:
    optimizer.lr: {kind: log_uniform, low: 1.0e-3, high: 1}
    model.regularizer.kind: {kind: choice, values: [none, shakedrop]}
    model.regularizer.p_l:
      {kind: uniform, low: 0.3, high: 0.9, points: 7,
       when: {model.regularizer.kind: [shakedrop]}}
    training.seed: {kind: integer, low: 0, high: 4}
    training.clip_norm: {kind: choice, values: [null, 1, 2.5, true, text]}
  constraints: [model.regularizer.p_l <= optimizer.lr]
  search: {kind: tpe, start_trials: 5, objectives: metric_and_time, seed: 3}
  scheduler: {kind: none}
  trials: 12
  metric: val/top5
  mode: min
  budget: {hours: 2, epochs: 60}
  concurrent_trials: 4
  keep: 2
"""


@pytest.fixture
def full(write: Write) -> Path:
    return write("full.yaml", FULL)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["sweep.space.optimizer.lr.low=0.01"], LogUniformConfig(low=0.01, high=1)),
        (
            ["sweep.space.optimizer.lr.kind=choice", "sweep.space.optimizer.lr.values=[0.1, 0.2]"],
            ChoiceConfig(values=(0.1, 0.2)),
        ),
        (
            ["sweep.space.optimizer.lr={kind: uniform, low: 0, high: 2}"],
            UniformConfig(low=0, high=2),
        ),
        (
            ["sweep.space.optimizer.lr.when={model.depth: [20]}"],
            LogUniformConfig(low=1e-3, high=1, when={"model.depth": (20,)}),
        ),
        (
            ["sweep.space.optimizer.lr.when.model.depth=[20]"],
            LogUniformConfig(low=1e-3, high=1, when={"model.depth": (20,)}),
        ),
    ],
)
def test_one_searched_value_is_changed_by_its_path(
    full: Path, overrides: list[str], expected: object
) -> None:
    before = load_sweep([full], []).sweep.space
    assert load_sweep([full], overrides).sweep.space == before | {"optimizer.lr": expected}


def test_a_searched_value_is_added_by_its_path(full: Path) -> None:
    before = load_sweep([full], []).sweep.space
    whole = "sweep.space.optimizer.weight_decay={kind: uniform, low: 0, high: 1}"
    parts = [f"sweep.space.optimizer.weight_decay.{x}" for x in ("kind=uniform", "low=0", "high=1")]
    added = before | {"optimizer.weight_decay": UniformConfig(low=0, high=1)}
    assert load_sweep([full], [whole]).sweep.space == added
    assert load_sweep([full], parts).sweep.space == added
    with pytest.raises(ValueError, match=r"^sweep\.space\.optimizer\.lrr\.kind: must be one of"):
        load_sweep([full], ["sweep.space.optimizer.lrr.low=0.1"])


def test_the_whole_space_is_replaced_when_given_whole(full: Path) -> None:
    found = load_sweep([full], ["sweep.space={optimizer.lr: {kind: uniform, low: 0, high: 2}}"])
    assert found.sweep.space == {"optimizer.lr": UniformConfig(low=0, high=2)}


def test_a_whole_file_is_read(full: Path) -> None:
    config = load_sweep([full], [])
    assert isinstance(config, CIFARSweep)
    assert config.name == "a-sweep"
    assert config.model.depth == 20
    seven = {"model.regularizer.kind": ("shakedrop",)}
    assert config.sweep == SweepConfig(
        pipeline="cifar",
        space={
            "optimizer.lr": LogUniformConfig(low=1e-3, high=1),
            "model.regularizer.kind": ChoiceConfig(values=("none", "shakedrop")),
            "model.regularizer.p_l": UniformConfig(low=0.3, high=0.9, points=7, when=seven),
            "training.seed": IntegerConfig(low=0, high=4),
            "training.clip_norm": ChoiceConfig(values=(None, 1, 2.5, True, "text")),
        },
        constraints=("model.regularizer.p_l <= optimizer.lr",),
        search=TPESearchConfig(start_trials=5, objectives="metric_and_time", seed=3),
        scheduler=NoSchedulerConfig(),
        trials=12,
        metric="val/top5",
        mode="min",
        budget=BudgetConfig(hours=2, epochs=60),
        concurrent_trials=4,
        keep=2,
    )
    values = config.sweep.space["training.clip_norm"]
    assert isinstance(values, ChoiceConfig)
    assert [type(value) for value in values.values] == [type(None), int, float, bool, str]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("search={kind: grid}", GridSearchConfig()),
        ("search={kind: random, seed: 5}", RandomSearchConfig(seed=5)),
        ("scheduler={kind: asha, grace: 2, reduction: 4}", ASHAConfig(grace=2, reduction=4)),
        ("scheduler={kind: median, min_trials: 5}", MedianStoppingConfig(min_trials=5)),
        ("scheduler={kind: pbt, factors: [1.5, 0.5]}", PopulationConfig(factors=(1.5, 0.5))),
    ],
)
def test_kinds_of_search_and_scheduler(text: str, expected: object) -> None:
    sweep = load_sweep([], [f"sweep.{text}"]).sweep
    assert getattr(sweep, text.partition("=")[0]) == expected


def test_a_written_sweep_is_a_file_that_loads_back(full: Path, write: Write) -> None:
    """What `--print-config` shows, and what `--resume` reads."""
    imagenet = load_sweep([], ["sweep.pipeline=imagenet", "sweep.trials=3"])
    for config in (load_sweep([full], []), imagenet):
        again = load_sweep([write("again.yaml", to_yaml(config))], [])
        assert again == config
        assert type(again) is type(config)


@pytest.mark.parametrize(
    ("files", "overrides", "expected"),
    [
        ([], [], CIFARSweep),
        ([], ["sweep.pipeline=imagenet"], ImageNetSweep),
        ([], ["sweep={pipeline: imagenet, trials: 3}"], ImageNetSweep),
        (["sweep: {pipeline: imagenet}"], [], ImageNetSweep),
        (["sweep: {pipeline: imagenet}", "sweep: {trials: 3}"], ["sweep.keep=1"], ImageNetSweep),
        (["sweep: {pipeline: imagenet}"], ["sweep.pipeline=cifar"], CIFARSweep),
        (["sweep: {pipeline: imagenet}", "sweep: {pipeline: cifar}"], [], CIFARSweep),
        (["name: x"], [], CIFARSweep),
        ([""], [], CIFARSweep),
    ],
)
def test_the_last_pipeline_that_is_named_decides(
    write: Write, files: list[str], overrides: list[str], expected: type
) -> None:
    paths = [write(f"{number}.yaml", text) for number, text in enumerate(files)]
    config = load_sweep(paths, overrides)
    assert type(config) is expected
    assert SCHEMAS[config.sweep.pipeline] is expected


def test_the_pipeline_of_a_base_counts(write: Write) -> None:
    write("below/base.yaml", "sweep: {pipeline: imagenet}\nmodel: {depth: 101}\n")
    config = load_sweep([write("top.yaml", "base: below/base.yaml\nsweep: {trials: 4}\n")], [])
    assert isinstance(config, ImageNetSweep)
    assert (config.model.depth, config.sweep.trials) == (101, 4)


def test_a_recipe_on_top_of_which_a_search_stands(write: Write) -> None:
    """Files as in configs/sweep: the recipe by `base`, the section beside it."""
    write("recipe.yaml", "model: {depth: 20}\noptimizer: {lr: 0.4}\n")
    text = "base: recipe.yaml\nsweep:\n  space:\n    a.b: {kind: choice, values: [1]}\n"
    config = load_sweep([write("sweep.yaml", text)], ["optimizer.lr=0.2"])
    assert (config.model.depth, config.optimizer.lr) == (20, 0.2)
    assert config.sweep.space == {"a.b": ChoiceConfig(values=(1,))}


def test_a_later_space_takes_the_place_of_an_earlier_one(full: Path, write: Write) -> None:
    """As a whole: a field that is not named any more is not searched any more."""
    later = write("later.yaml", "sweep: {space: {optimizer.lr: {kind: choice, values: [0.1]}}}")
    config = load_sweep([full, later], [])
    assert config.sweep.space == {"optimizer.lr": ChoiceConfig(values=(0.1,))}
    assert config.sweep.trials == 12


@pytest.mark.parametrize("pipeline", ["cifar", "imagenet"])
def test_the_recipe_of_the_trials(pipeline: str) -> None:
    settings = [
        "name=mine",
        "expected={value: 77, source: paper}",
        "checkpoint.keep=4",
        "optimizer.lr=0.3",
    ]
    searched = ["sweep.metric=val/loss", "sweep.mode=min", "sweep.trials=3"]
    config = load_sweep([], [f"sweep.pipeline={pipeline}", *settings, *searched])
    tree = recipe_tree(config)
    recipe = RECIPES[pipeline].model_validate(tree)
    chosen = ["checkpoint.keep=4", "checkpoint.metric=val/loss", "checkpoint.mode=min"]
    # A sweep's name and a published figure are not those of its trials.
    assert recipe == load(RECIPES[pipeline], overrides=["optimizer.lr=0.3", *chosen])
    assert type(recipe) is {"cifar": CIFARConfig, "imagenet": ImageNetConfig}[pipeline]
    # Plain values, as files hold them.
    assert yaml.safe_load(yaml.safe_dump(tree)) == tree


def shown(config: CIFARSweep | ImageNetSweep) -> dict[str, list[tuple[str, str]]]:
    """Returns what the help says of each path: default and explanation, once for each kind."""
    text = help_text("Searches.", "python sweep.py", {}, config)
    entries: dict[str, list[tuple[str, str]]] = {}
    for path, value, told in re.findall(r"^  ([\w.<>]+)=(.*)\n      (.*)$", text, re.M):
        entries.setdefault(path, []).append((value, told))
    return entries


@pytest.mark.parametrize("pipeline", ["cifar", "imagenet"])
def test_the_help_shows_the_search_and_the_recipe(pipeline: str) -> None:
    config = load_sweep([], [f"sweep.pipeline={pipeline}"])
    entries = shown(config)
    assert entries["sweep.pipeline"][0][0] == pipeline
    recipe = {field.path for field in describe(RECIPES[pipeline]())}
    assert recipe <= entries.keys()
    names = {path.split(".")[1] for path in entries.keys() - recipe}
    assert names == set(SweepConfig.model_fields)


def test_the_help_shows_what_an_entry_of_the_space_holds() -> None:
    """Once for all names, with the distributions that have a field."""
    entries = shown(load_sweep([], []))
    prefix = "sweep.space.<name>"
    found = {
        path.removeprefix(f"{prefix}."): told
        for path, told in entries.items()
        if path.startswith(prefix)
    }
    assert set(found) == {"kind", "when", "values", "points", "low", "high"}
    assert found["kind"] == [
        ("choice", "The distribution. (choice or uniform or log_uniform or integer)")
    ]
    condition = f"; with {prefix}.kind="
    assert found["values"][0][1].endswith(f"({_VALUES}{condition}choice)")
    assert found["points"][0][0] == "null"
    assert {told.partition(condition)[2] for _, told in found["low"]} == {
        *("uniform)", "log_uniform)", "integer)")
    }
    assert all(default == "required" for default, _ in found["low"] + found["high"])
    # What a mapping holds has a documentation of its own, and the mapping too.
    assert entries["sweep.space"][0][0] == "{}"
    assert "(mapping of names to values or sections)" in entries["sweep.space"][0][1]


def test_the_help_calls_required_only_what_is_required() -> None:
    """An entry needs no condition."""
    ((default, told),) = shown(load_sweep([], []))["sweep.space.<name>.when"]
    assert default == "{}"
    assert told.startswith("Draw only where each of these fields has one of its values")
    distribution: dict[str, Any] = {"kind": "choice", "values": [1]}
    assert SweepConfig.model_validate({"space": {"a.b": distribution}}).space["a.b"].when == {}


def test_the_help_names_what_is_searched(full: Path) -> None:
    (default, _) = shown(load_sweep([full], []))["sweep.space"][0]
    assert default.startswith("{optimizer.lr, model.regularizer.kind, ")
