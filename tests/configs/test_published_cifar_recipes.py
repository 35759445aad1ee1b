"""CIFAR recipes that others published, setting by setting."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.config.cifar import CIFARConfig
from service.config.optimization import CosineConfig, MultiStepConfig, SGDConfig
from service.config.regularizer import ShakeDropConfig, ShakeShakeConfig
from service.models import build_network, network_name
from service.training.optimizers import peak_learning_rate

Recipe = Callable[[str], CIFARConfig]

# Error on CIFAR-10 in percent, by forward, backward and level, then by width: arXiv 1705.07485, and
# arXiv 1805.09501 for 112. What is not here was not published.
SHAKE_SHAKE = {
    ("even", "even", None): {32: 4.27, 64: 3.76, 96: 3.58},
    ("even", "shake", "batch"): {32: 4.44},
    ("shake", "keep", "batch"): {32: 4.11},
    ("shake", "even", "batch"): {32: 3.47, 64: 3.30},
    ("shake", "shake", "batch"): {32: 3.67, 64: 3.07},
    ("even", "shake", "image"): {32: 4.11},
    ("shake", "keep", "image"): {32: 4.09},
    ("shake", "even", "image"): {32: 3.47, 64: 3.20},
    ("shake", "shake", "image"): {32: 3.55, 64: 2.98, 96: 2.86, 112: 2.82},
}
CELLS = [
    (*shares, width, error)
    for shares, widths in SHAKE_SHAKE.items()
    for width, error in widths.items()
]


def error_of(config: CIFARConfig) -> float:
    """Returns the published error, percent."""
    assert config.expected is not None
    assert isinstance(config.expected.value, float)
    assert config.expected.metric == "val/top1"
    return 100 - config.expected.value


def check_sgd(config: CIFARConfig, lr: float, weight_decay: float) -> None:
    """Checks what all published recipes share: SGD with Nesterov's momentum, decay everywhere."""
    optimizer = config.optimizer
    assert isinstance(optimizer, SGDConfig)
    assert peak_learning_rate(optimizer, config.training.batch_size) == pytest.approx(lr)
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)
    assert optimizer.weight_decay == optimizer.norm_weight_decay == weight_decay
    assert config.loss.label_smoothing == 0
    assert config.schedule.warm_up.duration.value == 0


def check_steps(config: CIFARConfig, epochs: str, at: list[str], factor: float) -> None:
    """Checks the length of the run and a learning rate that falls in steps."""
    schedule = config.schedule
    assert str(config.training.duration) == epochs
    assert isinstance(schedule, MultiStepConfig)
    assert ([str(moment) for moment in schedule.at], schedule.factor) == (at, factor)


def parameters(config: CIFARConfig) -> int:
    """Returns the number of the network's parameters with 10 classes."""
    with torch.device("meta"):
        network = build_network(config.model, classes=10)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("forward", "backward", "level", "width", "error"), CELLS)
def test_shake_shake_expects_its_table(
    cifar_recipe: Recipe,
    forward: str,
    backward: str,
    level: str | None,
    width: int,
    error: float,
) -> None:
    words = [word for word in (forward, backward, level) if word]
    config = cifar_recipe(f"shake26_2x{width}d_{'_'.join(words)}")
    assert network_name(config.model) == f"shake_resnet26_2x{width}d"
    shares = config.model.regularizer
    assert isinstance(shares, ShakeShakeConfig)
    assert (shares.forward, shares.backward) == (forward, backward)
    assert level in (shares.level, None)
    assert config.data.kind == "cifar10"
    assert error_of(config) == pytest.approx(error)


def test_shake_shake_has_no_recipe_beyond_its_table() -> None:
    files = [path.stem for path in Path("configs/cifar").glob("shake26_*.yaml")]
    assert len(files) == len(CELLS) == 17


def test_shake_shake_trains_as_its_authors_did(cifar_recipe: Recipe) -> None:
    config = cifar_recipe("shake26_2x32d_shake_shake_image")
    check_sgd(config, lr=0.2, weight_decay=1e-4)
    # 0.1 for half the batch.
    assert peak_learning_rate(config.optimizer, 64) == pytest.approx(0.1)
    assert (str(config.training.duration), config.training.batch_size) == ("1800ep", 128)
    assert isinstance(config.schedule, CosineConfig)
    assert config.schedule.end_factor == 0


def test_shake_shake_on_cifar100_is_the_published_one(cifar_recipe: Recipe) -> None:
    config = cifar_recipe("shake29_2x4x64d_shake_even_image")
    check_sgd(config, lr=0.025, weight_decay=5e-4)
    assert (str(config.training.duration), config.training.batch_size) == ("1800ep", 32)
    assert isinstance(config.schedule, CosineConfig)
    assert network_name(config.model) == "cifar_resnext29_2x4x64d"
    shares = config.model.regularizer
    assert isinstance(shares, ShakeShakeConfig)
    assert (shares.forward, shares.backward, shares.level) == ("shake", "even", "image")
    assert config.data.kind == "cifar100"
    assert error_of(config) == pytest.approx(15.85)


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("pyramidnet110_a270", "cifar100", 18.01),
        ("pyramidnet110_a270_random_drop", "cifar100", 17.74),
        ("pyramidnet110_a270_shakedrop", "cifar100", 15.78),
        ("pyramidnet110_a270_shakedrop_batch", "cifar100", 16.22),
        ("pyramidnet272_a200", "cifar10", 3.31),
        ("pyramidnet272_a200_shakedrop", "cifar10", 3.08),
        ("resnet110", "cifar100", 27.42),
        ("resnet110_random_drop", "cifar100", 24.07),
        ("resnet110_shakedrop", "cifar100", 23.74),
        ("resnet110_cifar10", "cifar10", 6.41),
        ("resnet110_cifar10_random_drop", "cifar10", 5.23),
        ("wrn28_10", "cifar10", 4.00),
        ("resnext29_8x64d", "cifar100", 17.77),
    ],
)
def test_a_figure_is_the_published_one(
    cifar_recipe: Recipe, name: str, data: str, error: float
) -> None:
    assert cifar_recipe(name).data.kind == data
    assert error_of(cifar_recipe(name)) == pytest.approx(error)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("shake26_2x32d_even_even", 2_923_162),
        ("shake26_2x64d_even_even", 11_653_978),
        ("resnet110", 1_730_522),
        ("wrn28_10", 36_479_194),
        ("resnext29_8x64d", 34_426_698),
        ("pyramidnet110_a270", 28_485_477),
    ],
)
def test_a_network_has_the_published_size(cifar_recipe: Recipe, name: str, count: int) -> None:
    assert parameters(cifar_recipe(name)) == count


@pytest.mark.parametrize(
    ("name", "lr"), [("pyramidnet110_a270_shakedrop", 0.5), ("pyramidnet272_a200_shakedrop", 0.1)]
)
def test_pyramidnet_trains_as_its_authors_did(cifar_recipe: Recipe, name: str, lr: float) -> None:
    config = cifar_recipe(name)
    check_sgd(config, lr=lr, weight_decay=1e-4)
    check_steps(config, "300ep", ["150ep", "225ep"], 0.1)
    assert config.training.batch_size == 128
    assert (config.data.train.padding, config.data.train.flip) == (4, "auto")


def test_shakedrop_is_that_of_its_authors(cifar_recipe: Recipe) -> None:
    shakedrop = cifar_recipe("pyramidnet110_a270_shakedrop").model.regularizer
    assert isinstance(shakedrop, ShakeDropConfig)
    assert (shakedrop.p_l, shakedrop.level, shakedrop.gate) == (0.5, "pixel", "batch")
    assert (shakedrop.alpha.low, shakedrop.alpha.high) == (-1, 1)
    assert (shakedrop.beta.low, shakedrop.beta.high) == (0, 1)


def test_wide_resnet_trains_as_its_authors_did(cifar_recipe: Recipe) -> None:
    config = cifar_recipe("wrn28_10")
    check_sgd(config, lr=0.1, weight_decay=5e-4)
    check_steps(config, "200ep", ["60ep", "120ep", "160ep"], 0.2)
    assert config.training.batch_size == 128


def test_resnext_trains_as_its_authors_did(cifar_recipe: Recipe) -> None:
    config = cifar_recipe("resnext29_8x64d")
    check_sgd(config, lr=0.1, weight_decay=5e-4)
    check_steps(config, "300ep", ["150ep", "225ep"], 0.1)
    assert config.training.batch_size == 128


def test_random_drop_trains_as_its_authors_did(cifar_recipe: Recipe) -> None:
    config = cifar_recipe("resnet110_cifar10_random_drop")
    check_sgd(config, lr=0.1, weight_decay=1e-4)
    check_steps(config, "500ep", ["0.5run", "0.75run"], 0.1)
    assert config.training.batch_size == 128
    # The authors held 5,000 pictures out.
    assert config.data.train_pictures == 45_000
    assert network_name(config.model) == "cifar_resnet110"
