"""Recipes that others published, setting by setting."""

from collections.abc import Callable

import pytest

from service.config.imagenet import ImageNetConfig
from service.config.model import ResNetConfig
from service.training.optimizers import peak_learning_rate

Recipe = Callable[[str], ImageNetConfig]


def test_ninety_epochs_are_those_of_nvidia(recipe: Recipe) -> None:
    config = recipe("resnet50")
    assert config.training.batch_size == 2048
    assert peak_learning_rate(config.optimizer, 2048) == pytest.approx(2.048)
    assert peak_learning_rate(config.optimizer, 256) == pytest.approx(0.256)
    assert config.optimizer.kind == "sgd"
    assert (config.optimizer.momentum, config.optimizer.nesterov) == (0.875, False)
    assert (config.optimizer.weight_decay, config.optimizer.norm_weight_decay) == (1 / 32768, 0)
    assert (str(config.training.duration), config.schedule.kind) == ("90ep", "cosine")
    assert str(config.schedule.warm_up.duration) == "8ep"
    assert config.loss.label_smoothing == 0.1
    assert config.mixing.mixup_alpha == config.mixing.cutmix_alpha == 0
    assert config.expected is not None
    assert config.expected.value == 77.12


@pytest.mark.parametrize(("depth", "top1"), [(50, 76.13), (101, 77.374), (152, 78.312)])
def test_v1_is_that_of_torchvision(recipe: Recipe, depth: int, top1: float) -> None:
    config = recipe(f"resnet{depth}_v1")
    assert isinstance(config.model, ResNetConfig)
    assert (config.model.depth, config.model.order) == (depth, "post_activation")
    assert peak_learning_rate(config.optimizer, config.training.batch_size) == 0.1
    assert config.training.batch_size == 256
    assert config.optimizer.kind == "sgd"
    assert (config.optimizer.momentum, config.optimizer.nesterov) == (0.9, False)
    # --norm-weight-decay is not given: everything decays.
    assert config.optimizer.weight_decay == config.optimizer.norm_weight_decay == 1e-4
    assert config.schedule.kind == "step"
    assert (str(config.schedule.every), config.schedule.factor) == ("30ep", 0.1)
    assert config.schedule.warm_up.duration.value == 0
    assert config.loss.label_smoothing == 0
    evaluation = config.data.evaluation
    assert (config.data.train.size, evaluation.resize, evaluation.size) == (224, 256, 224)
    assert config.expected is not None
    assert config.expected.value == top1


def test_v2_is_that_of_torchvision(recipe: Recipe) -> None:
    config = recipe("resnet50_v2")
    assert (str(config.training.duration), config.training.batch_size) == ("600ep", 1024)
    assert config.optimizer.kind == "sgd"
    assert peak_learning_rate(config.optimizer, 1024) == 0.5
    assert (config.optimizer.momentum, config.optimizer.nesterov) == (0.9, False)
    assert (config.optimizer.weight_decay, config.optimizer.norm_weight_decay) == (2e-5, 0)
    assert config.schedule.kind == "cosine"
    warm_up = config.schedule.warm_up
    assert (str(warm_up.duration), warm_up.start_factor) == ("5ep", 0.01)
    assert config.schedule.end_factor == 0
    assert (config.loss.kind, config.loss.label_smoothing) == ("cross_entropy", 0.1)
    mixing = config.mixing
    assert (mixing.mixup_alpha, mixing.cutmix_alpha, mixing.probability) == (0.2, 1.0, 1.0)
    train, evaluation = config.data.train, config.data.evaluation
    assert (train.augmentation.kind, train.random_erasing, train.repeats) == (
        "trivial_augment",
        0.1,
        4,
    )
    assert (train.size, evaluation.resize, evaluation.size) == (176, 232, 224)
    assert config.data.interpolation == "bilinear"
    assert config.expected is not None
    assert (config.expected.metric, config.expected.value) == ("val/ema_top1", 80.858)


def test_the_average_of_v2_decays_as_torchvisions_script_rescales_it(recipe: Recipe) -> None:
    training = recipe("resnet50_v2").training
    average = training.average
    assert average.enabled
    assert average.every == 32
    rescaled = 1 - (1 - 0.99998) * training.batch_size * average.every / training.duration.value
    assert average.decay == pytest.approx(rescaled, abs=1e-9)


def test_a3_is_that_of_resnet_strikes_back(recipe: Recipe) -> None:
    config = recipe("resnet50_a3")
    assert (str(config.training.duration), config.training.batch_size) == ("100ep", 2048)
    assert config.optimizer.kind == "lamb"
    assert peak_learning_rate(config.optimizer, 2048) == 8e-3
    assert (config.optimizer.weight_decay, config.optimizer.norm_weight_decay) == (0.02, 0)
    assert config.training.clip_norm == 1.0
    assert config.schedule.kind == "cosine"
    assert str(config.schedule.warm_up.duration) == "5ep"
    assert 8e-3 * config.schedule.warm_up.start_factor == pytest.approx(1e-4)
    assert 8e-3 * config.schedule.end_factor == pytest.approx(1e-6)
    assert (config.loss.kind, config.loss.label_smoothing) == ("binary_cross_entropy", 0)
    assert config.loss.target_threshold == 0.2
    assert (config.mixing.mixup_alpha, config.mixing.cutmix_alpha) == (0.1, 1.0)
    train, evaluation = config.data.train, config.data.evaluation
    assert train.augmentation.kind == "rand_augment"
    # timm's m6 is 6 of 10, the field's scale ends at 30.
    assert train.augmentation.operations == 2
    assert train.augmentation.magnitude / 30 == 6 / 10
    assert (train.repeats, train.random_erasing) == (1, 0)
    assert (train.size, evaluation.resize, evaluation.size) == (160, 236, 224)
    assert config.data.interpolation == "bicubic"
    assert config.expected is not None
    assert config.expected.value == 78.1


def test_shakedrop_on_resnet152_expects_the_published_error(recipe: Recipe) -> None:
    expected = recipe("resnet152_shakedrop").expected
    assert expected is not None
    assert expected.value == pytest.approx(100 - 20.88)
    assert "second-hand" in expected.source
