"""The COCO recipes start, say what they should reach, and are listed with it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from service.config.coco import COCOConfig
from service.config.command_line import Command
from service.config.errors import ConfigurationError
from service.config.loading import load, to_yaml
from service.config.training import ExpectedConfig
from service.models.resolution import resolved_run

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "coco"
PARTS = {
    "common",
    "schedule_1x",
    "schedule_2x",
    "schedule_3x",
    "large_scale_jitter",
    "torchvision",
    "torchvision_v2",
}
"""What recipes build on."""
SMALL = {"drawn", "mini"}
"""What two cores can train."""
RECIPES = sorted({path.stem for path in FOLDER.glob("*.yaml")} - PARTS - SMALL)

every_recipe = pytest.mark.parametrize("name", RECIPES)


def launched(name: str, command: Callable[[Path], Command]) -> COCOConfig:
    given = command(Path(f"configs/coco/{name}.yaml"))
    assert given.files == (Path(f"configs/coco/{name}.yaml"),)
    return load(COCOConfig, given.files, given.overrides)


@every_recipe
def test_a_recipe_says_what_to_expect(name: str, command: Callable[[Path], Command]) -> None:
    config = launched(name, command)
    expected = config.expected
    assert isinstance(expected, ExpectedConfig)
    assert expected.metric == config.checkpoint.metric
    assert (config.data.kind, config.training.precision) == ("coco", "bf16")
    if expected.value != "unknown":
        assert 30 < expected.value < 50
        assert expected.tolerance is not None


@every_recipe
def test_the_printed_configuration_loads_back(
    name: str, command: Callable[[Path], Command], tmp_path: Path
) -> None:
    printed = resolved_run(launched(name, command))
    (tmp_path / "printed.yaml").write_text(to_yaml(printed), encoding="utf-8")
    assert load(COCOConfig, [tmp_path / "printed.yaml"]) == printed


@every_recipe
def test_without_weights_nothing_is_frozen(name: str, command: Callable[[Path], Command]) -> None:
    config = launched(name, command)
    if (config.model.trained_stages, config.model.batch_norm) == (5, "synchronised"):
        return
    assert config.model.weights is not None
    with pytest.raises(ConfigurationError, match="nothing may be frozen"):
        load(COCOConfig, [FOLDER / f"{name}.yaml"], ["data.root=/data/coco"])


def test_only_the_method_tells_shakedrop_from_its_baseline(
    command: Callable[[Path], Command],
) -> None:
    for kind in ("faster_rcnn", "mask_rcnn"):
        plain = launched(f"{kind}_resnet152", command).model_dump()
        shaken = launched(f"{kind}_resnet152_shakedrop", command).model_dump()
        for config in (plain, shaken):
            del config["expected"], config["model"]["weights"]
            del config["model"]["backbone"]["regularizer"]
        assert plain == shaken


def test_the_readme_lists_every_recipe(command: Callable[[Path], Command]) -> None:
    rows = dict(
        re.findall(r"^\| `(\w+)\.yaml` \| (.*)$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    )
    assert set(rows) == {*RECIPES, *SMALL}
    for name in RECIPES:
        config = launched(name, command)
        assert config.expected is not None
        cells = [cell.strip() for cell in rows[name].split("|")]
        value = config.expected.value
        shown = value if value == "unknown" else f"{value:.1f}"
        assert cells[3 if config.expected.metric == "val/mask_ap" else 2] == shown
        assert cells[1] == str(config.training.duration)
