"""The CIFAR recipes start, say what they should reach and differ where they claim to."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.config.cifar import CIFARConfig
from service.config.command_line import Command
from service.config.loading import load, to_yaml
from service.models import build_network, resolved

Recipe = Callable[[str], CIFARConfig]
Differing = Callable[[CIFARConfig, CIFARConfig], set[str]]

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "cifar"
FILES = sorted(
    path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml")
)
PARTS = [name for name in FILES if "/" in name or name in ("common", "mixup")]
RECIPES = [name for name in FILES if name not in (*PARTS, "quick")]
SHAKE26 = [name for name in RECIPES if name.startswith("shake26")]

NETWORKS = ["resnet110", "wrn28_10", "resnext29_8x64d", "pyramidnet110_a270", "pyramidnet272_a200"]
METHODS = ["random_drop", "shakedrop", "drop_block"]
REGULARIZERS = ["none", *METHODS, "shake_shake"]
CLASSES = {"cifar10": 10, "cifar100": 100}
TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
METHOD_TITLES = {
    "none": "none",
    "random_drop": "RandomDrop",
    "shakedrop": "ShakeDrop",
    "shake_shake": "Shake-Shake",
    "drop_block": "DropBlock",
}

every_file = pytest.mark.parametrize("name", FILES)
every_part = pytest.mark.parametrize("name", PARTS)
every_recipe = pytest.mark.parametrize("name", RECIPES)
every_network = pytest.mark.parametrize("network", NETWORKS)
every_method = pytest.mark.parametrize("method", METHODS)


def test_every_network_has_every_regulariser_with_and_without_mixup() -> None:
    methods = ["", *(f"_{method}" for method in METHODS)]
    wanted = {
        f"{n}{method}{mixup}" for n in NETWORKS for method in methods for mixup in ("", "_mixup")
    }
    assert len(wanted) == 40
    assert wanted <= set(RECIPES)


@every_file
def test_the_first_line_launches_the_file(
    name: str, command: Callable[[Path], Command], cifar_recipe: Recipe
) -> None:
    file = Path(f"configs/cifar/{name}.yaml")
    assert command(file).files[-1] == file
    assert set(command(file).overrides) <= {"data.root=/data"}
    # Where the comparison looks for its runs.
    assert cifar_recipe(name).tracking.experiment == "cifar"


@every_recipe
def test_a_recipe_needs_its_own_file_and_the_pictures(
    name: str, command: Callable[[Path], Command]
) -> None:
    given = command(Path(f"configs/cifar/{name}.yaml"))
    assert len(given.files) == 1
    assert given.overrides == ("data.root=/data",)


@every_file
def test_the_printed_configuration_loads_back(
    name: str, cifar_recipe: Recipe, tmp_path: Path
) -> None:
    config = cifar_recipe(name)
    printed = config.model_copy(update={"model": resolved(config.model)})
    written = tmp_path / "printed.yaml"
    written.write_text(to_yaml(printed), encoding="utf-8")
    assert load(CIFARConfig, [written]) == printed


@every_recipe
def test_a_recipe_says_what_to_expect(name: str, cifar_recipe: Recipe) -> None:
    config = cifar_recipe(name)
    expected = config.expected
    assert expected is not None
    # The checkpoint called best is best by what the recipe is judged by.
    assert expected.metric == config.checkpoint.metric
    if expected.value == "unknown":
        assert expected.tolerance is None
        assert expected.source.startswith(("no published figure", "not published"))
    else:
        assert 70 < expected.value < 98
        assert expected.tolerance is not None
        assert expected.tolerance <= 1
        assert expected.source.startswith("arXiv ")


@pytest.mark.parametrize("name", ["quick", *PARTS])
def test_what_is_no_recipe_expects_nothing(name: str, cifar_recipe: Recipe) -> None:
    assert cifar_recipe(name).expected is None


@every_network
def test_a_figure_for_one_set_can_be_taken_off_for_another(network: str) -> None:
    config = load(CIFARConfig, [FOLDER / f"{network}.yaml"], ["data.kind=svhn", "expected=null"])
    assert config.data.kind == "svhn"
    assert config.expected is None


def test_parquet_files_take_the_place_of_a_published_set(cifar_recipe: Recipe) -> None:
    name = "resnet110_cifar10"
    options = ["data.kind=parquet", "data.root=/data/parquet"]
    config = load(CIFARConfig, [FOLDER / f"{name}.yaml"], options)
    assert config.data.root == "/data/parquet"
    assert config.data.train == cifar_recipe(name).data.train
    assert config.data.train_pictures == 45_000


@every_recipe
def test_a_recipe_is_for_tensor_cores(name: str, cifar_recipe: Recipe) -> None:
    training = cifar_recipe(name).training
    assert (training.precision, training.channels_last) == ("bf16", True)


@pytest.mark.parametrize("name", [name for name in RECIPES if not name.endswith("_mixup")])
def test_the_network_can_be_built(name: str, cifar_recipe: Recipe) -> None:
    config = cifar_recipe(name)
    with torch.device("meta"):
        network = build_network(config.model, CLASSES[config.data.kind])
    assert network.fc.weight.shape[0] == CLASSES[config.data.kind]


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_the_small_network_trains_with_every_regulariser(
    regularizer: str, cifar_recipe: Recipe
) -> None:
    config = cifar_recipe(f"regularizers/{regularizer}")
    quick = cifar_recipe("quick")
    assert config.model.regularizer.kind == regularizer
    assert config.model.kind == quick.model.kind
    # One step is enough to meet branches of the wrong number or shape.
    torch.manual_seed(0)
    network = build_network(config.model, 10)
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@every_network
@every_method
def test_the_regulariser_is_all_that_sets_a_method_apart(
    network: str, method: str, cifar_recipe: Recipe, differing: Differing
) -> None:
    plain, regularised = cifar_recipe(network), cifar_recipe(f"{network}_{method}")
    assert plain.model.regularizer.kind == "none"
    assert regularised.model.regularizer.kind == method
    # ResNeXt has a ReLU after the addition, which α below 0 asks to leave out.
    erased = {"model.order"} if (network, method) == ("resnext29_8x64d", "shakedrop") else set()
    assert differing(plain, regularised) == {"model.regularizer"} | erased


@every_network
@pytest.mark.parametrize("suffix", ["", *(f"_{method}" for method in METHODS)])
def test_mixup_is_all_that_its_recipes_add(
    network: str, suffix: str, cifar_recipe: Recipe, differing: Differing
) -> None:
    mixed = cifar_recipe(f"{network}{suffix}_mixup")
    assert mixed.mixing.mixup_alpha == 1
    assert differing(cifar_recipe(network + suffix), mixed) == {"mixing.mixup_alpha"}


@pytest.mark.parametrize("method", ["none", *METHODS])
def test_a_recipe_is_its_network_and_its_regulariser(method: str, cifar_recipe: Recipe) -> None:
    block = cifar_recipe(f"regularizers/{method}").model.regularizer
    for network in NETWORKS:
        name = network if method == "none" else f"{network}_{method}"
        assert cifar_recipe(name).model.regularizer == block


@pytest.mark.parametrize("name", SHAKE26)
def test_width_and_shares_are_all_that_sets_shake_shake_apart(
    name: str, cifar_recipe: Recipe, differing: Differing
) -> None:
    base = cifar_recipe("networks/shake26")
    assert differing(base, cifar_recipe(name)) <= {"model.width", "model.regularizer"}


def test_the_level_is_all_that_sets_shakedrop_by_batches_apart(
    cifar_recipe: Recipe, differing: Differing
) -> None:
    pixel, batch = (cifar_recipe(f"pyramidnet110_a270_shakedrop{end}") for end in ("", "_batch"))
    assert differing(pixel, batch) == {"model.regularizer"}
    assert pixel.model.regularizer.model_copy(update={"level": "batch"}) == batch.model.regularizer


def test_random_drop_is_all_that_its_own_recipe_adds(
    cifar_recipe: Recipe, differing: Differing
) -> None:
    plain, dropped = (cifar_recipe(f"resnet110_cifar10{end}") for end in ("", "_random_drop"))
    assert differing(plain, dropped) == {"model.regularizer"}


def test_the_table_says_what_the_recipes_say(cifar_recipe: Recipe) -> None:
    table = (FOLDER / "README.md").read_text("utf-8")
    row = re.compile(r"^\| `(\w+)\.yaml` \|[^|]*\|((?: [^|]*\|){4}) ?([^|]*) \|$", re.MULTILINE)
    rows = {name: [*cells.split("|")[:4], source] for name, cells, source in row.findall(table)}
    assert set(rows) == set(RECIPES)
    for name in RECIPES:
        config = cifar_recipe(name)
        regularizer, data, epochs, figure, source = (cell.strip() for cell in rows[name])
        assert regularizer.startswith(METHOD_TITLES[config.model.regularizer.kind])
        assert regularizer.endswith("mixup") == (config.mixing.mixup_alpha > 0)
        assert data == TITLES[config.data.kind]
        assert epochs == f"{config.training.duration.value:g}"
        assert config.expected is not None
        value, tolerance = config.expected.value, config.expected.tolerance
        if value == "unknown":
            assert (figure, source) == ("unknown", "")
        else:
            assert figure == f"{100 - value:.2f} ± {tolerance:g}"
            assert source
            assert config.expected.source.startswith(source)
