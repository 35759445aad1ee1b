"""The recipes in configs/ start, say what they should reach and differ where they claim to."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from service.config.command_line import Command
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml
from service.models.resnet import build_network, resolved

Recipe = Callable[[str], ImageNetConfig]

IMAGENET = Path(__file__).resolve().parents[2] / "configs" / "imagenet"
NAMES = sorted(path.stem for path in IMAGENET.rglob("*.yaml"))
RECIPES = [name for name in NAMES if name != "drawn"]

# Parameters with 1000 classes; erase_relu leaves the number as it is.
PARAMETERS = {
    (50, "post_activation"): 25_557_032,
    (101, "post_activation"): 44_549_160,
    (152, "post_activation"): 60_192_808,
    (50, "pre_activation"): 25_549_480,
}
# Under ShakeDrop each pre-activation branch ends with γ and bias of its own: 3, 4, 6 and 3 blocks
# of 256, 512, 1024 and 2048 channels.
LAST_NORMS = 2 * (3 * 256 + 4 * 512 + 6 * 1024 + 3 * 2048)

every_file = pytest.mark.parametrize("name", NAMES)
every_recipe = pytest.mark.parametrize("name", RECIPES)


def differences(first: Any, second: Any, path: str = "") -> Iterator[str]:
    """Yields the paths of the leaves in which two dumped configurations differ."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        if first != second:
            yield path
        return
    for key in first.keys() | second.keys():
        yield from differences(first.get(key), second.get(key), f"{path}.{key}".lstrip("."))


def sections_that_differ(first: str, second: str) -> set[str]:
    """Returns those paths, cut to two names, for two recipes; their expectations left out."""
    dumps = [configuration(name).model_dump(mode="json") for name in (first, second)]
    paths = {".".join(path.split(".")[:2]) for path in differences(*dumps)}
    return {path for path in paths if not path.startswith("expected")}


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 14


@every_recipe
def test_the_first_line_launches_the_file_on_imagenet(file: Path) -> None:
    given = command(file)
    assert given.files == (file,)
    assert given.overrides == ("data.root=/data/imagenet",)
    assert configuration(file).data.kind == "folder"


@every_file
def test_the_printed_configuration_loads_back(file: Path, tmp_path: Path) -> None:
    config = configuration(file)
    printed = config.model_copy(update={"model": resolved(config.model)})
    written = tmp_path / "printed.yaml"
    written.write_text(to_yaml(printed), encoding="utf-8")
    assert load(ImageNetConfig, [written]) == printed


@every_recipe
def test_a_recipe_without_pictures_does_not_start(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^data\.root: is required"):
        load(ImageNetConfig, [file])


@every_recipe
def test_a_recipe_says_what_to_expect(file: Path) -> None:
    config = configuration(file)
    expected = config.expected
    assert expected is not None
    assert expected.source
    # The best checkpoint is best by the metric that the recipe is judged by.
    assert expected.metric == config.checkpoint.metric
    if expected.value == "unknown":
        assert expected.tolerance is None
    else:
        assert 70 < expected.value < 90
        assert expected.tolerance is not None
        assert expected.tolerance <= 1


@every_recipe
def test_a_recipe_uses_the_tensor_cores_of_a_cluster(file: Path) -> None:
    config = configuration(file)
    assert (config.training.precision, config.training.channels_last) == ("bf16", True)
    assert config.cluster.num_workers == "auto"


@every_file
def test_the_network_has_the_size_of_its_family(file: Path) -> None:
    model = configuration(file).model
    with torch.device("meta"):
        network = build_network(model, classes=1000)
    count = sum(parameter.numel() for parameter in network.parameters())
    if file.name == "drawn.yaml":
        assert count < 2_000_000  # minutes on two cores
        return
    order = "pre_activation" if model.order == "pre_activation" else "post_activation"
    added = order == "pre_activation" and model.regularizer.kind == "shakedrop"
    assert count == PARAMETERS[model.depth, order] + added * LAST_NORMS


def test_shakedrop_on_resnet152_expects_the_published_error() -> None:
    expected = recipe("resnet152_shakedrop").expected
    assert expected is not None
    assert expected.value == pytest.approx(100 - 20.88)
    assert "second-hand" in expected.source


@pytest.mark.parametrize("plain", ["resnet50", "resnet101", "resnet152", "resnet50_a3"])
def test_shakedrop_is_all_that_its_recipes_add(plain: str) -> None:
    shaken = recipe(f"{plain}_shakedrop").model
    assert shaken.order == "erase_relu"
    regularizer = shaken.regularizer
    assert regularizer.kind == "shakedrop"
    assert (regularizer.p_l, regularizer.level, regularizer.gate) == (0.5, "pixel", "batch")
    assert (regularizer.alpha.low, regularizer.alpha.high) == (-1, 1)
    assert (regularizer.beta.low, regularizer.beta.high) == (0, 1)
    differing = sections_that_differ(f"{plain}.yaml", f"{plain}_shakedrop.yaml")
    assert differing == {"model.order", "model.regularizer"}


@pytest.mark.parametrize("suffix", ["", "_shakedrop", "_v1"])
@pytest.mark.parametrize("depth", [101, 152])
def test_depth_is_all_that_sets_a_family_apart(suffix: str, depth: int) -> None:
    differing = sections_that_differ(f"resnet50{suffix}.yaml", f"resnet{depth}{suffix}.yaml")
    assert differing == {"model.depth"}


@pytest.mark.parametrize("suffix", ["", "_shakedrop"])
def test_order_is_all_that_sets_pre_activation_apart(suffix: str) -> None:
    differing = sections_that_differ(
        f"resnet50{suffix}.yaml", f"resnet50_pre_activation{suffix}.yaml"
    )
    assert differing == {"model.order"}


def test_the_table_says_what_the_recipes_say() -> None:
    table = (IMAGENET / "README.md").read_text("utf-8")
    rows = {
        cells[0]: cells
        for cells in re.findall(r"^\| `(.+?)` \|.*?\| (.*?) \| (.*?) \|", table, re.M)
    }
    assert set(rows) == {file.name for file in FILES if file.parent.name == "imagenet"}
    for file in RECIPES:
        config = configuration(file)
        assert config.expected is not None
        value, tolerance = config.expected.value, config.expected.tolerance
        figure = "unknown" if value == "unknown" else f"{value:g} ± {tolerance:g}"
        assert rows[file.name][1:] == (f"{config.training.duration.value:g}", figure)
