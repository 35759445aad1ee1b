"""The comparison page shows what the papers name."""

import pytest

from service.config.base import Range
from service.config.cifar import CIFARConfig
from service.config.imagenet import ImageNetConfig
from service.tracking.parameters import comparison_params

ALPHA = Range(low=-1.0, high=1.0)


def test_shakedrop_is_described_by_the_papers_symbols() -> None:
    config = ImageNetConfig.model_validate(
        {
            "model": {
                "kind": "resnet",
                "regularizer": {"kind": "shakedrop", "p_l": 0.25, "level": "channel"},
            },
            "training": {"duration": "90ep", "batch_size": 512, "precision": "bf16", "seed": 3},
            "optimizer": {"kind": "sgd", "lr": 0.1, "reference_batch_size": 256},
            "data": {"kind": "folder", "root": "/data/imagenet/"},
        }
    )
    params = comparison_params(config, "resnet50-erase_relu", ALPHA)
    assert list(params.items()) == [
        ("model", "resnet50-erase_relu"),
        ("regularizer", "shakedrop"),
        ("P_L", 0.25),
        ("alpha_low", -1.0),
        ("alpha_high", 1.0),
        ("beta_low", 0.0),
        ("beta_high", 1.0),
        ("level", "channel"),
        ("gate", "batch"),
        ("epochs", 90),
        ("batch_size", 512),
        ("lr", 0.2),
        ("weight_decay", 1e-4),
        ("optimizer", "sgd"),
        ("schedule", "cosine"),
        ("precision", "bf16"),
        ("train_size", 224),
        ("label_smoothing", 0.0),
        ("data", "imagenet"),
        ("seed", 3),
    ]
    # MLflow compares the first three that differ in ASCII order.
    assert sorted(params)[:3] == ["P_L", "alpha_high", "alpha_low"]


def test_what_is_off_is_not_shown() -> None:
    config = ImageNetConfig.model_validate(
        {
            "model": {"kind": "resnet", "regularizer": {"kind": "none"}},
            "training": {"duration": "5000st", "average": {"enabled": True, "decay": 0.999}},
            "mixing": {"mixup_alpha": 0.2},
        }
    )
    params = comparison_params(config, "resnet50")
    assert params["regularizer"] == "none"
    assert not {"P_L", "alpha_low", "beta_low", "level", "gate", "cutmix", "epochs"} & set(params)
    assert params["steps"] == 5000
    assert params["ema_decay"] == 0.999
    assert params["mixup"] == 0.2
    assert params["data"] == "drawn"


@pytest.mark.parametrize(
    ("regularizer", "expected"),
    [
        ({"kind": "random_drop", "p_l": 0.6}, {"P_L": 0.6}),
        (
            {"kind": "shake_shake", "backward": "keep"},
            {"forward": "shake", "backward": "keep", "level": "image"},
        ),
        ({"kind": "drop_block", "drop_prob": 0.2}, {"drop_prob": 0.2, "block_size": 7}),
    ],
)
def test_every_regulariser_shows_its_own_strengths(
    regularizer: dict[str, object], expected: dict[str, object]
) -> None:
    names = {"P_L", "forward", "backward", "level", "gate", "drop_prob", "block_size"}
    config = CIFARConfig.model_validate(
        {
            "model": {"kind": "shake_resnet", "regularizer": regularizer},
            "data": {"kind": "cifar10", "train_pictures": 4000, "train": {"cutout": 16}},
        }
    )
    params = comparison_params(config, "shake")
    assert {name: value for name, value in params.items() if name in names} == expected
    assert params["regularizer"] == regularizer["kind"]
    assert (params["data"], params["train_pictures"], params["cutout"]) == ("cifar10", 4000, 16)


def test_shakedrop_needs_the_alpha_that_is_really_used() -> None:
    with pytest.raises(ValueError, match="alpha"):
        comparison_params(ImageNetConfig(), "resnet50")
