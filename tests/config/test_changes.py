"""Which fields may change while a training runs."""

import pytest

from service.config.changes import CHANGEABLE, check_changes
from service.config.cifar import CIFARConfig
from service.config.coco import COCOConfig
from service.config.command_line import help_text
from service.config.errors import ConfigurationError
from service.config.loading import load


def config(*overrides: str) -> CIFARConfig:
    return load(CIFARConfig, overrides=overrides)


def test_every_changeable_field_exists() -> None:
    described = help_text("", "", {}, config()) + help_text("", "", {}, load(COCOConfig))
    for path in CHANGEABLE:
        assert path in described, path


def test_changeable_fields_may_differ() -> None:
    check_changes(
        config("mixing.mixup_alpha=0.1"),
        config(
            "model.regularizer.p_l=0.1",
            "model.regularizer.alpha.low=-0.5",
            "optimizer.lr=0.3",
            "mixing.mixup_alpha=0.2",
        ),
    )


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("model.depth=20", "model.depth"),
        ("model.regularizer.kind=random_drop", r"model\.regularizer\.\w+"),
        ("training.batch_size=64", "training.batch_size"),
        ("training.duration=5ep", "training.duration"),
        ("data.train.cutout=8", "data.train.cutout"),
        ("name=other", "name"),
    ],
)
def test_others_are_refused_by_name(override: str, path: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{path}: cannot change from .* to .* while"):
        check_changes(config(), config(override, "optimizer.lr=0.3"))
