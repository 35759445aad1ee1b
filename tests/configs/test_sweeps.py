"""Every shipped sweep file can be run as its first line says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.config.command_line import Command
from service.config.sweep_files import RECIPES, load_sweep, recipe_tree
from service.search.proposals import build

FILES = ["alpha_beta", "coco", "optimizer", "p_l", "p_l_alpha", "pbt", "regularizer"]


@pytest.mark.parametrize("name", FILES)
def test_its_space_holds(name: str, command: Callable[[Path], Command]) -> None:
    file = Path("configs/sweep", f"{name}.yaml")
    given = command(file)
    assert given.files == (file,)
    config = load_sweep(given.files, given.overrides)
    proposals = build(config.sweep, RECIPES[config.sweep.pipeline], recipe_tree(config))
    counts = {"p_l": 9, "p_l_alpha": 12, "regularizer": 39, "pbt": 8}
    assert proposals.total == counts.get(name, config.sweep.trials)
    assert proposals.ask() is not None


def test_every_file_is_listed() -> None:
    assert {file.stem for file in Path("configs/sweep").glob("*.yaml")} == set(FILES)
