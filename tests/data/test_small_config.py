"""The configuration of small data sets as a user changes it."""

import pytest

from service.config.base import Config
from service.config.command_line import help_text
from service.config.errors import ConfigurationError
from service.config.loading import load, to_yaml, validate
from service.config.small_data import (
    CIFAR10DataConfig,
    CIFAR100DataConfig,
    ParquetDataConfig,
    SmallAutoAugmentConfig,
    SmallDataConfig,
    SVHNDataConfig,
)


class Pipeline(Config):
    """What a pipeline for small pictures has."""

    data: SmallDataConfig = CIFAR10DataConfig()
    """The pictures."""


def loaded(*overrides: str) -> SmallDataConfig:
    return load(Pipeline, overrides=overrides).data


def test_another_set_keeps_the_treatment_and_has_a_mean_of_its_own() -> None:
    data = loaded("data.train.cutout=16", "data.train_pictures=4000", "data.kind=cifar100")
    assert isinstance(data, CIFAR100DataConfig)
    assert (data.train.cutout, data.train_pictures) == (16, 4000)
    assert (data.mean, data.std) == (CIFAR100DataConfig().mean, CIFAR100DataConfig().std)
    assert loaded("data.kind=svhn").mean == SVHNDataConfig().mean
    assert loaded("data.kind=svhn", "data.mean=[0, 0, 0]").mean == (0, 0, 0)


def test_the_root_stays_with_another_set() -> None:
    data = loaded("data.root=/sets", "data.kind=parquet")
    assert data == ParquetDataConfig(root="/sets")
    assert loaded("data.root=/sets") == CIFAR10DataConfig(root="/sets")


def test_auto_augment_is_that_of_small_pictures() -> None:
    data = loaded("data.train.augmentation.kind=auto_augment")
    assert data.train.augmentation == SmallAutoAugmentConfig()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.train.padding=17", "data.train.padding: 17 is not allowed; allowed: .* ≤ 16"),
        ("data.train.flip=sometimes", "data.train.flip: 'sometimes' is not allowed; .*auto or"),
        ("data.train_pictures=0", "data.train_pictures: 0 is not allowed"),
        ("data.train.size=32", "unknown option 'data.train.size'"),
        ("data.on_error=skip", "unknown option 'data.on_error'"),
        ("data.loading_timeout=-1", "data.loading_timeout: -1 is not allowed; .*> 0 or null"),
        ("data.kind=cifar", "data.kind: must be one of cifar10, cifar100, svhn, parquet"),
    ],
)
def test_a_mistake_is_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}[^\n]*$"):
        loaded(override)


def test_a_parquet_set_needs_a_root_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match=r"^data\.root: is required"):
        validate(Pipeline, {"data": {"kind": "parquet"}})


def test_a_written_configuration_loads_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("written") / "config.yaml"
    for data in (CIFAR10DataConfig(), SVHNDataConfig(download=True), ParquetDataConfig(root="/x")):
        file.write_text(to_yaml(Pipeline(data=data)), encoding="utf-8")
        assert load(Pipeline, [file]).data == data


def test_help_shows_every_field_with_what_it_does() -> None:
    text = help_text("Trains.", "example", {}, Pipeline())
    for field in ("train.cutout=0", "train_pictures=null", "download=false", "train.flip=auto"):
        assert f"data.{field}\n" in text
    assert "data.mean=[0.4377, 0.4438, 0.4728]" in text
