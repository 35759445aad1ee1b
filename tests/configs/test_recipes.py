"""The ImageNet recipes start, say what they should reach and differ where they claim to."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.config.command_line import Command
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml
from service.config.model import ResNetConfig
from service.models import build_network, resolved

Recipe = Callable[[str], ImageNetConfig]
Differing = Callable[[ImageNetConfig, ImageNetConfig], set[str]]

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "imagenet"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
RECIPES = [name for name in FILES if name != "drawn"]

every_file = pytest.mark.parametrize("name", FILES)
every_recipe = pytest.mark.parametrize("name", RECIPES)

# Parameters with 1000 classes.
PARAMETERS = {50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
PRE_ACTIVATION_50 = 25_549_480
# Under ShakeDrop each pre-activation branch ends with γ and bias of its own: 3, 4, 6 and 3 blocks
# of 256, 512, 1024 and 2048 channels.
LAST_NORMS = 2 * (3 * 256 + 4 * 512 + 6 * 1024 + 3 * 2048)


@every_recipe
def test_the_first_line_launches_the_file_on_imagenet(
    name: str, command: Callable[[Path], Command], recipe: Recipe
) -> None:
    file = Path(f"configs/imagenet/{name}.yaml")
    assert command(file).files == (file,)
    assert command(file).overrides == ("data.root=/data/imagenet",)
    assert recipe(name).data.kind == "folder"


@every_file
def test_the_printed_configuration_loads_back(name: str, recipe: Recipe, tmp_path: Path) -> None:
    config = recipe(name)
    printed = config.model_copy(update={"model": resolved(config.model)})
    written = tmp_path / "printed.yaml"
    written.write_text(to_yaml(printed), encoding="utf-8")
    assert load(ImageNetConfig, [written]) == printed


@every_recipe
def test_a_recipe_without_pictures_does_not_start(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^data\.root: is required"):
        load(ImageNetConfig, [FOLDER / f"{name}.yaml"])


@every_recipe
def test_a_recipe_says_what_to_expect(name: str, recipe: Recipe) -> None:
    config = recipe(name)
    expected = config.expected
    assert expected is not None
    assert expected.source
    # The checkpoint called best is best by what the recipe is judged by.
    assert expected.metric == config.checkpoint.metric
    if expected.value == "unknown":
        assert expected.tolerance is None
    else:
        assert 70 < expected.value < 90
        assert expected.tolerance is not None
        assert expected.tolerance <= 1


@every_recipe
def test_a_recipe_is_for_a_cluster_with_tensor_cores(name: str, recipe: Recipe) -> None:
    config = recipe(name)
    assert (config.training.precision, config.training.channels_last) == ("bf16", True)
    assert config.cluster.num_workers == "auto"


@every_file
def test_the_network_can_be_built(name: str, recipe: Recipe) -> None:
    with torch.device("meta"):
        network = build_network(recipe(name).model, classes=1000)
    assert network.fc.weight.shape[0] == 1000


@every_recipe
def test_the_network_has_the_published_size(name: str, recipe: Recipe) -> None:
    model = recipe(name).model
    assert isinstance(model, ResNetConfig)
    with torch.device("meta"):
        network = build_network(model, classes=1000)
    count = sum(parameter.numel() for parameter in network.parameters())
    if model.order == "pre_activation":
        shaken = model.regularizer.kind == "shakedrop"
        assert count == PRE_ACTIVATION_50 + shaken * LAST_NORMS
    else:
        assert count == PARAMETERS[model.depth]


@pytest.mark.parametrize("plain", ["resnet50", "resnet101", "resnet152", "resnet50_a3"])
def test_shakedrop_is_all_that_its_recipes_add(
    plain: str, recipe: Recipe, differing: Differing
) -> None:
    shaken = recipe(f"{plain}_shakedrop")
    assert isinstance(shaken.model, ResNetConfig)
    assert shaken.model.order == "erase_relu"
    regularizer = shaken.model.regularizer
    assert regularizer.kind == "shakedrop"
    assert (regularizer.p_l, regularizer.level, regularizer.gate) == (0.5, "pixel", "batch")
    assert (regularizer.alpha.low, regularizer.alpha.high) == (-1, 1)
    assert (regularizer.beta.low, regularizer.beta.high) == (0, 1)
    assert differing(recipe(plain), shaken) == {"model.order", "model.regularizer"}


@pytest.mark.parametrize("family", ["", "_shakedrop", "_v1"])
@pytest.mark.parametrize("depth", [101, 152])
def test_depth_is_all_that_sets_a_family_apart(
    family: str, depth: int, recipe: Recipe, differing: Differing
) -> None:
    deep = recipe(f"resnet{depth}{family}")
    assert deep.model.depth == depth
    assert differing(recipe(f"resnet50{family}"), deep) == {"model.depth"}


@pytest.mark.parametrize("family", ["", "_shakedrop"])
def test_order_is_all_that_sets_pre_activation_apart(
    family: str, recipe: Recipe, differing: Differing
) -> None:
    other = recipe(f"resnet50_pre_activation{family}")
    assert isinstance(other.model, ResNetConfig)
    assert other.model.order == "pre_activation"
    assert differing(recipe(f"resnet50{family}"), other) == {"model.order"}


def test_the_table_says_what_the_recipes_say(recipe: Recipe) -> None:
    table = (FOLDER / "README.md").read_text("utf-8")
    row = re.compile(r"^\| `(\w+)\.yaml` \|[^|]*\| ([^|]*) \| ([^|]*) \|", re.MULTILINE)
    rows = {name: (epochs, figure) for name, epochs, figure in row.findall(table)}
    assert set(rows) == set(FILES)
    for name in RECIPES:
        config = recipe(name)
        assert config.expected is not None
        value, tolerance = config.expected.value, config.expected.tolerance
        figure = "unknown" if value == "unknown" else f"{value:g} ± {tolerance:g}"
        assert rows[name] == (f"{config.training.duration.value:g}", figure)
